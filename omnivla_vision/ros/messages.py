"""ROS messages <-> the core's types."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs import msg as sensor_msgs
from std_msgs.msg import Header

from omnivla_vision.goal import KnownGoal
from omnivla_vision.goal_sequence.follower import Position
from omnivla_vision.images import compressed
from omnivla_vision.images.encodings import DEPTH, ENCODINGS
from omnivla_vision.images.raw import ImageSource, RawImage
from omnivla_vision.images.stamps import NS_PER_S, to_nanoseconds
from omnivla_vision.msg import GoalSequenceStatus, GoalStatus
from omnivla_vision.ros import bridge


def image_source(message: sensor_msgs.Image | sensor_msgs.CompressedImage, *, max_pixels: int) -> ImageSource:
    """An image message as the core sees it; its bytes are not copied."""
    if isinstance(message, sensor_msgs.CompressedImage):
        return compressed.CompressedImage(data=message.data, format=message.format, max_pixels=max_pixels)
    raw = RawImage.of(message, max_pixels=max_pixels)
    if raw.encoding not in ENCODINGS and not DEPTH.fullmatch(raw.encoding) and bridge.available():
        return bridge.BridgedImage(message, max_pixels=max_pixels)
    return raw


def stamp_to_ns(stamp: Time) -> int:
    """A ROS time as nanoseconds.

    Raises:
        InvalidStampError: it lies before 1970, or has a second or more of nanoseconds.
    """
    return to_nanoseconds(stamp.sec, stamp.nanosec)


def ns_to_stamp(nanoseconds: int) -> Time:
    """Nanoseconds as a ROS time."""
    return Time(sec=nanoseconds // NS_PER_S, nanosec=nanoseconds % NS_PER_S)


def bytes_field(data: NDArray[np.uint8]) -> array.array[int]:
    """Bytes for a uint8[] field. Setting one from anything but array.array takes up to 90 ms for a token message."""
    field = array.array("B")
    field.frombytes(np.ascontiguousarray(data).data)
    return field


def image_message(rgb: NDArray[np.uint8], *, stamp_ns: int, frame_id: str) -> sensor_msgs.Image:
    """An rgb8 message of an [H, W, 3] image."""
    message = sensor_msgs.Image(height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8", step=3 * rgb.shape[1])
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id = frame_id
    message.data = bytes_field(rgb)
    return message


def goal_status(goal: KnownGoal | None) -> GoalStatus:
    """What is published about the goal in force, or about there being none."""
    if goal is None:
        return GoalStatus(valid=False)
    return GoalStatus(valid=True, id=goal.id, stamp=ns_to_stamp(goal.stamp_ns), height=goal.height, width=goal.width)


def goal_sequence_status(position: Position, header: Header, problem: str) -> GoalSequenceStatus:
    """What is published about a sequence of goals, or about there being none."""
    return GoalSequenceStatus(
        header=header,
        path="" if position.sequence is None else str(position.sequence.path),
        number=position.number,
        index=position.index,
        name=position.name,
        source=position.source,
        window=list(position.window),
        similarities=list(position.similarities),
        advanced=position.advanced,
        problem=problem,
    )
