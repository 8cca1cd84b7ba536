"""Bags as people have them, written for a test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

CAMERA = "/camera/image_raw"
GOAL = "/goal_image"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
START_NS = 1_700_000_000_000_000_000
MCAP, SQLITE3 = StoragePlugin.MCAP, StoragePlugin.SQLITE3

TYPES = get_typestore(Stores.ROS2_KILTED)
TYPES.register(get_types_from_msg("float64 secret\nstring[] words\n", "acme_msgs/msg/Unheard"))


@dataclass(frozen=True)
class Message:
    """One message: `at_s` is the recorder's clock, relative to the start."""

    topic: str
    msgtype: str
    at_s: float
    data: bytes


def write(
    path: Path,
    messages: Iterable[Message],
    *,
    storage: StoragePlugin = MCAP,
    empty: tuple[str, ...] = (),
    compression: tuple[CompressionMode, CompressionFormat] | None = None,
) -> Path:
    """Write a bag folder; `empty` are further topics of images without a message."""
    bag = Writer(path, version=9, storage_plugin=storage)
    if compression:
        bag.set_compression(*compression)
    with bag:
        connections = {(t, IMAGE): bag.add_connection(t, IMAGE, typestore=TYPES) for t in empty}
        for message in messages:
            key = (message.topic, message.msgtype)
            if key not in connections:
                connections[key] = bag.add_connection(*key, typestore=TYPES)
            bag.write(connections[key], START_NS + round(message.at_s * 1e9), message.data)
    return path


def picture(index: int, *, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A smooth picture with some structure, another one for each index; RGB."""
    noise = np.random.default_rng(index).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def raw(
    rgb: NDArray[np.uint8], at_s: float, *, topic: str = CAMERA, stamp_s: float | None = None, pad: int = 0
) -> Message:
    """An rgb8 image whose rows have `pad` more bytes."""
    height, width, _ = rgb.shape
    rows = np.full((height, 3 * width + pad), 0xAB, np.uint8)
    rows[:, : 3 * width] = rgb.reshape(height, -1)
    message = TYPES.types[IMAGE](
        header=_header(at_s if stamp_s is None else stamp_s),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=rows.shape[1],
        data=rows.ravel(),
    )
    return Message(topic, IMAGE, at_s, bytes(TYPES.serialize_cdr(message, IMAGE)))


def compressed(
    rgb: NDArray[np.uint8], at_s: float, *, topic: str = f"{CAMERA}/compressed", tail: bytes = b""
) -> Message:
    """A PNG of the image: lossless; with bytes behind its end."""
    _, png = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
    return _file(png.tobytes() + tail, "png", at_s, topic)


def depth(at_s: float, *, topic: str, image_format: str = "") -> Message:
    """Millimetres, raw, or as a PNG in a message of that format."""
    millimetres = (np.arange(48 * 64, dtype=np.uint16) + 500).reshape(48, 64)
    if image_format:
        return _file(cv2.imencode(".png", millimetres)[1].tobytes(), image_format, at_s, topic)
    message = TYPES.types[IMAGE](
        header=_header(at_s),
        height=48,
        width=64,
        encoding="16UC1",
        is_bigendian=0,
        step=128,
        data=millimetres.view(np.uint8).ravel(),
    )
    return Message(topic, IMAGE, at_s, bytes(TYPES.serialize_cdr(message, IMAGE)))


def _file(data: bytes, image_format: str, at_s: float, topic: str) -> Message:
    message = TYPES.types[COMPRESSED](header=_header(at_s), format=image_format, data=np.frombuffer(data, np.uint8))
    return Message(topic, COMPRESSED, at_s, bytes(TYPES.serialize_cdr(message, COMPRESSED)))


def unheard(at_s: float) -> Message:
    """A message of a type that nobody else has."""
    message = TYPES.types["acme_msgs/msg/Unheard"](secret=4.2, words=["a", "b"])
    return Message(
        "/secrets", "acme_msgs/msg/Unheard", at_s, bytes(TYPES.serialize_cdr(message, "acme_msgs/msg/Unheard"))
    )


def drive(frames: int, *, rate: float = 10.0, goal: bool = True) -> list[Message]:
    """A camera's frames, and a goal before the second of them: the picture of the last frame."""
    messages = [raw(picture(index), index / rate) for index in range(frames)]
    if goal:
        messages.insert(1, raw(picture(frames - 1), 0.5 / rate, topic=GOAL))
    return messages


def _header(stamp_s: float) -> Any:
    time = TYPES.types["builtin_interfaces/msg/Time"]
    seconds, nanoseconds = divmod(START_NS + round(stamp_s * 1e9), 10**9)
    return TYPES.types["std_msgs/msg/Header"](stamp=time(sec=seconds, nanosec=nanoseconds), frame_id="camera")
