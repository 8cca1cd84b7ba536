"""Camera images out of a bag: raw and compressed messages alike become RGB frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from omnivla_vision.images.codecs import codec_of
from omnivla_vision.images.compressed import CompressedImage
from omnivla_vision.images.raw import MAX_PIXELS, ImageError, RawImage, UnsupportedEncodingError
from omnivla_vision.images.stamps import NS_PER_S, InvalidStampError, to_nanoseconds
from omnivla_vision.replay.bag import COMPRESSED_IMAGE, IMAGE_TYPES, VIDEO_PACKET, Bag, BagError
from omnivla_vision.replay.storage.base import Record
from omnivla_vision.replay.video import VIDEO_PACKET_FIELDS, VideoStream, VideoSupportMissingError

_HEADER_START = 4


class FrameUndecodableError(BagError):
    """A message was read but it is not a usable image."""


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


@cache
def message_types() -> Typestore:
    """ROS 2 Kilted's, of which those of images have not changed since ROS 2 began, and ffmpeg_image_transport's."""
    types = get_typestore(Stores.ROS2_KILTED)
    types.register(get_types_from_msg(VIDEO_PACKET_FIELDS, VIDEO_PACKET))
    return types


def image_topics(path: Path) -> dict[str, int]:
    """Count the messages of every topic of images.

    Raises:
        BagMissingError: Nothing at `path`.
        BagUnreadableError: `path` is not a readable ROS 2 bag.
    """
    with Bag(path) as bag:
        return {topic.name: topic.count for topic in bag.topics if topic.msgtype in IMAGE_TYPES}


def read_images(path: Path, topic: str) -> Iterator[BagFrame]:
    """Yield the images of one topic in the order they were recorded, decoding each as it is asked for.

    Args:
        path: Bag folder, or a single .mcap or .db3 file.
        topic: Topic of sensor_msgs/Image or CompressedImage to read.

    Raises:
        BagMissingError: Nothing at `path`.
        BagUnreadableError: `path` is not a readable ROS 2 bag, or breaks off.
        TopicMissingError: The bag has no such topic.
        TopicTypeError: The topic carries something else.
        FrameUndecodableError: An image does not decode.
    """
    with Bag(path) as bag:
        bag.topic(topic)
        decoder = Decoder()
        for record in bag.records([topic]):
            yield decoder.decode(record)


class Decoder:
    """Decodes the messages of topics in their order, which matters to video: its pictures need those before.

    Args:
        max_pixels: refuse larger images.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self._max_pixels = max_pixels
        self._streams: dict[str, VideoStream] = {}

    def decode(self, record: Record) -> BagFrame:
        """The image of a recorded message.

        Raises:
            FrameUndecodableError: the message is cut off, or its bytes are no usable image.
            VideoSupportMissingError: it is video, and PyAV is not installed.
        """
        try:
            message: Any = message_types().deserialize_cdr(record.data, record.msgtype)
            stamp = message.header.stamp
            return BagFrame(
                stamp_ns=to_nanoseconds(stamp.sec, stamp.nanosec),
                time_ns=record.time_ns,
                topic=record.topic,
                frame_id=message.header.frame_id,
                rgb=self._rgb(message, record),
            )
        except VideoSupportMissingError:
            raise
        except Exception as error:
            # The parser has no base class for what it raises on broken bytes.
            reason = (
                error if isinstance(error, ImageError) else f"the message is broken ({type(error).__name__}: {error})"
            )
            raise FrameUndecodableError(
                f"the image at {record.time_ns} ns on topic {record.topic!r}: {reason}"
            ) from error

    def _rgb(self, message: Any, record: Record) -> NDArray[np.uint8]:
        codec = _codec(message, record.msgtype)
        if codec is not None:
            if record.topic not in self._streams:
                self._streams[record.topic] = VideoStream(codec, max_pixels=self._max_pixels)
            return self._streams[record.topic].decode(message.data.tobytes())
        if record.msgtype == COMPRESSED_IMAGE:
            return CompressedImage(data=message.data, format=message.format, max_pixels=self._max_pixels).rgb()
        return RawImage.of(message, max_pixels=self._max_pixels).rgb()


def decode(record: Record) -> BagFrame:
    """The image of a message by itself; raises what `Decoder.decode` does."""
    return Decoder().decode(record)


def is_video(record: Record) -> bool:
    """Whether a message is a packet of a video stream."""
    try:
        return _codec(message_types().deserialize_cdr(record.data, record.msgtype), record.msgtype) is not None
    except Exception:  # noqa: BLE001 - broken bytes are no video
        return False


def _codec(message: Any, msgtype: str) -> str | None:
    """The video's codec; None for pictures."""
    if msgtype == VIDEO_PACKET:
        codec = codec_of(message.encoding)
        if codec is None:
            raise UnsupportedEncodingError(
                f"found video encoding {message.encoding!r}; expected H.264, H.265, AV1, VP8 or VP9"
            )
        return codec
    return codec_of(message.format) if msgtype == COMPRESSED_IMAGE else None


def stamp_ns(record: Record) -> int:
    """The header's stamp, without looking at the image.

    Raises:
        FrameUndecodableError: the message is too short to have one, or it is no time.
    """
    if len(record.data) < _HEADER_START + 8:
        raise FrameUndecodableError(
            f"the message at {record.time_ns} ns on topic {record.topic!r} has {len(record.data)} bytes; expected an "
            "image"
        )
    seconds, nanoseconds = _stamp_format(record).unpack_from(record.data, _HEADER_START)
    try:
        return to_nanoseconds(seconds, nanoseconds)
    except InvalidStampError as error:
        raise FrameUndecodableError(f"the message at {record.time_ns} ns on topic {record.topic!r}: {error}") from error


def with_stamp(record: Record, stamp_ns: int) -> Record:
    """The same message, its header stamped otherwise."""
    data = bytearray(record.data)
    _stamp_format(record).pack_into(data, _HEADER_START, *divmod(stamp_ns, NS_PER_S))
    return replace(record, data=bytes(data))


def _stamp_format(record: Record) -> struct.Struct:
    """CDR: four bytes that tell the byte order, then the header's stamp."""
    return struct.Struct("<iI" if record.data[1] & 1 else ">iI")
