"""What OpenCV does for pictures in colour, those of a single pixel too: its version 4.5.4 refuses these."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def swap_red_and_blue(picture: Image) -> Image:
    """RGB to BGR, or back; uint8 [H, W, 3], a new array."""
    if picture.size == 3:
        return picture[..., ::-1].copy()
    # OpenCV wants whole rows, so a padded image is made dense first.
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def thumbnail(picture: Image, *, width: int, height: int) -> Image:
    """Another size, averaging where it shrinks; uint8 [height, width, 3]."""
    if picture.size == 3:
        return np.full((height, width, 3), picture)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
