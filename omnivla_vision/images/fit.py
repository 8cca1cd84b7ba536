"""All of an image in a square, its proportions kept: resized first, then padded, as openpi's `resize_with_pad`."""

from __future__ import annotations

import numpy as np

from omnivla_vision.images.resize import image_of, planes_of, scale
from omnivla_vision.images.rgb import Image


def fit_into(image: Image, size: int) -> Image:
    """The longer side becomes `size`, the other is rounded down, to one pixel at least: uint8 [H, W, 3] of other sides.

    PIL's bilinear `resize` to one level.
    """
    height, width = image.shape[:2]
    ratio = max(height, width) / size
    sides = max(1, int(height / ratio)), max(1, int(width / ratio))
    return image_of(scale(planes_of(image), sides, "bilinear"))


def pad(image: Image, size: int, fill: tuple[int, int, int]) -> Image:
    """Equal borders around a side shorter than `size`, the odd pixel behind: uint8 [H, W, 3] of other sides."""
    height, width = image.shape[:2]
    out = np.empty((max(size, height), max(size, width), 3), np.uint8)
    out[:] = fill
    top, left = (out.shape[0] - height) // 2, (out.shape[1] - width) // 2
    out[top : top + height, left : left + width] = image
    return out
