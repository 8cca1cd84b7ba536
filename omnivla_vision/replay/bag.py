"""Camera frames out of a ROS 2 bag (an mcap or sqlite3 folder, or a single file), without ROS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from omnivla_vision.errors import VisionError
from omnivla_vision.images import UndecodableImageError, decode_compressed

COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"


class BagError(VisionError):
    """Base of the errors about a bag."""


class BagMissingError(BagError):
    """There is nothing at the bag's path."""


class BagUnreadableError(BagError):
    """There is something at the bag's path, but it cannot be read as a ROS 2 bag."""


class TopicMissingError(BagError):
    """The bag has no such topic."""


class TopicTypeError(BagError):
    """The topic is in the bag but does not carry compressed images."""


class FrameUndecodableError(BagError):
    """A message was read but its bytes do not decode to an image."""


@dataclass(frozen=True)
class BagFrame:
    """One recorded image.

    Attributes:
        stamp_ns: When the image was taken: the header's stamp, in nanoseconds.
        time_ns: When the message was recorded: the bag's own time, in nanoseconds.
        topic: Topic it was recorded from.
        frame_id: The header's frame_id.
        rgb: uint8 [H, W, 3].
    """

    stamp_ns: int
    time_ns: int
    topic: str
    frame_id: str
    rgb: NDArray[np.uint8]


def image_topics(bag: Path) -> dict[str, int]:
    """Count the messages of every topic of compressed images.

    Raises:
        BagMissingError: Nothing at `bag`.
        BagUnreadableError: `bag` is not a readable ROS 2 bag.
    """
    with _opened(bag) as reader:
        counts: dict[str, int] = {}
        for connection in reader.connections:
            if connection.msgtype == COMPRESSED_IMAGE:
                counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
    return counts


def read_images(bag: Path, topic: str) -> Iterator[BagFrame]:
    """Yield the images of one topic in the order they were recorded, decoding each as it is asked for.

    Args:
        bag: Bag folder, or a single .mcap or .db3 file.
        topic: Topic of sensor_msgs/CompressedImage to read.

    Raises:
        BagMissingError: Nothing at `bag`.
        BagUnreadableError: `bag` is not a readable ROS 2 bag, or breaks off.
        TopicMissingError: The bag has no such topic.
        TopicTypeError: The topic carries something else.
        FrameUndecodableError: An image does not decode.
    """
    with _opened(bag) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        if not connections:
            raise TopicMissingError(f"found no topic {topic!r} in {bag}; it has {_listing(reader)}; name one of these")
        for connection in connections:
            if connection.msgtype != COMPRESSED_IMAGE:
                raise TopicTypeError(
                    f"found {connection.msgtype} on topic {topic!r} in {bag}; expected {COMPRESSED_IMAGE}; "
                    f"the bag has {_listing(reader)}"
                )
        messages = reader.messages(connections=connections)
        while True:
            # Only the parsing is guarded: what the caller raises between two frames must reach it unchanged.
            with _refusing_broken(bag):
                record = next(messages, None)
                if record is None:
                    return
                connection, time_ns, data = record
                message: Any = reader.deserialize(data, connection.msgtype)
            stamp = message.header.stamp
            yield BagFrame(
                stamp_ns=stamp.sec * 10**9 + stamp.nanosec,
                time_ns=time_ns,
                topic=topic,
                frame_id=message.header.frame_id,
                rgb=_decode(message.data, where=f"the image at {time_ns} ns on topic {topic!r} in {bag}"),
            )


@contextmanager
def _opened(bag: Path) -> Iterator[AnyReader]:
    """Open a bag for the length of a `with` block."""
    if not bag.exists():
        raise BagMissingError(f"found nothing at {bag}; expected a ROS 2 bag folder or an .mcap file; check the path")
    with _refusing_broken(bag):
        # Bags recorded before ROS 2 Iron carry no message definitions; image messages have not changed since.
        reader = AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_KILTED))
        reader.open()
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def _refusing_broken(bag: Path) -> Iterator[None]:
    """Turn whatever the parser raises on broken bytes into one reason (it has no common base class for them)."""
    try:
        yield
    except Exception as error:
        raise BagUnreadableError(
            f"{bag} cannot be read as a ROS 2 bag ({type(error).__name__}: {error}); expected a folder with "
            "metadata.yaml, or an .mcap or .db3 file; if its recording was cut off, `ros2 bag reindex` may repair it"
        ) from error


def _listing(reader: AnyReader) -> str:
    topics = sorted({(connection.topic, connection.msgtype) for connection in reader.connections})
    return ", ".join(f"{topic} ({msgtype})" for topic, msgtype in topics) or "no topics at all"


def _decode(data: NDArray[np.uint8], *, where: str) -> NDArray[np.uint8]:
    try:
        return decode_compressed(data)
    except UndecodableImageError as error:
        raise FrameUndecodableError(f"{where}: {error}") from error
