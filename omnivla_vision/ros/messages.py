"""ROS messages <-> the core's types."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from omnivla_vision.encoder import TokenSet, stage
from omnivla_vision.images import RawImage
from omnivla_vision.msg import VisualTokens
from omnivla_vision.tokens import pack


def raw_image(message: Image) -> RawImage:
    """A view of an image message; its bytes are not copied."""
    return RawImage(
        data=message.data,
        height=message.height,
        width=message.width,
        encoding=message.encoding,
        step=message.step,
        is_bigendian=bool(message.is_bigendian),
    )


def stamp_to_ns(stamp: Time) -> int:
    """A ROS time as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def ns_to_stamp(nanoseconds: int) -> Time:
    """Nanoseconds as a ROS time."""
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def bytes_field(data: NDArray[np.uint8]) -> array.array[int]:
    """Bytes for a uint8[] field. Setting one from anything but array.array takes up to 90 ms for a token message."""
    field = array.array("B")
    field.frombytes(np.ascontiguousarray(data).data)
    return field


def to_message(tokens: TokenSet, *, header: Header, sequence: int, dtype: str) -> VisualTokens:
    """Pack a token set; the header is the camera image's own, unchanged.

    Raises:
        NonFiniteTokensError: the tokens are not finite in `dtype`.
    """
    with stage(tokens.stage_ms, "pack"):
        packed = pack(tokens.tokens, dtype)
        data = bytes_field(packed.data)
    message = VisualTokens(
        header=header,
        sequence=sequence,
        dtype_code=packed.dtype_code,
        dtype_bits=packed.dtype_bits,
        dtype_lanes=packed.dtype_lanes,
        shape=packed.shape,
        strides=packed.strides,
        byte_offset=packed.byte_offset,
        image_names=list(tokens.layout.image_names),
        tokens_per_image=tokens.layout.tokens_per_image,
        grid_height=tokens.layout.grid,
        grid_width=tokens.layout.grid,
        space=tokens.layout.space,
        segment_names=[segment.name for segment in tokens.layout.segments],
        segment_widths=[segment.width for segment in tokens.layout.segments],
        goal_valid=tokens.goal is not None,
        goal_id="" if tokens.goal is None else tokens.goal.id,
        goal_stamp=ns_to_stamp(0 if tokens.goal is None else tokens.goal.stamp_ns),
        preset=tokens.provenance.preset,
        weights=tokens.provenance.weights,
        fingerprint=tokens.provenance.fingerprint,
        preprocessing_id=tokens.provenance.preprocessing_id,
        engine=tokens.provenance.engine,
        precision=tokens.provenance.precision,
        notice=tokens.provenance.notice,
        stage_names=list(tokens.stage_ms),
        stage_ms=list(tokens.stage_ms.values()),
    )
    message.data = data
    return message
