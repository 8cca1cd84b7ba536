"""A frame as the JPEG that is kept of it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.opencv import swap_red_and_blue
from omnivla_vision.replay.bag import COMPRESSED_IMAGE
from omnivla_vision.replay.decoding import message_types
from omnivla_vision.replay.storage.base import Record

# Of pictures that were not recorded as JPEG: hardly to be told from them, a tenth of their size.
QUALITY = 95
_START = b"\xff\xd8"


def jpeg_of(record: Record, rgb: NDArray[np.uint8]) -> bytes:
    """The recorded JPEG, byte for byte, or else the picture as one.

    Args:
        record: the message.
        rgb: what it decoded to, uint8 [H, W, 3].
    """
    if record.msgtype == COMPRESSED_IMAGE:
        message: Any = message_types().deserialize_cdr(record.data, record.msgtype)
        return kept_jpeg(bytes(message.data), rgb)
    return encode_jpeg(rgb)


def kept_jpeg(content: bytes, rgb: NDArray[np.uint8]) -> bytes:
    """A file's bytes, if it is a JPEG, or else the picture in it as one."""
    return content if content.startswith(_START) else encode_jpeg(rgb)


def encode_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """A picture, uint8 [H, W, 3], as JPEG."""
    _, encoded = cv2.imencode(".jpg", swap_red_and_blue(rgb), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(encoded)
