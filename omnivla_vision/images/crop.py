"""The centre of an image and back, as TensorFlow and as PIL compute it."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.resize import image_of, planes_of, scale
from omnivla_vision.images.rgb import Image

_PIXELS_AT_A_TIME = 4_000_000


def crop_and_resize(image: Image, area: float, size: int) -> Image:
    """What OpenVLA's `center_crop` makes of an image: uint8 [H, W, 3] -> [size, size, 3].

    `tf.image.crop_and_resize` on float32 in 0..1: the first and the last sample lie on the crop's corners, in between
    is bilinear, nothing is averaged where it shrinks. Back to uint8 `convert_image_dtype` multiplies by 255.5 and cuts
    off. Every operation is TensorFlow's in float32; at most one level differs.
    """
    rows, columns = (_samples(side, area, size) for side in image.shape[:2])
    tops, bottoms = (_between_columns(image[lines], columns) for lines in (rows.before, rows.after))
    unit = tops + (bottoms - tops) * rows.weight[:, None, None]
    return (unit.clip(0, 1) * np.float32(255.5)).clip(0, 255).astype(np.uint8)


class _Samples:
    """Where the output's pixels lie between those of the image along one axis."""

    def __init__(self, at: NDArray[np.float32]) -> None:
        self.before = np.floor(at).astype(np.intp)
        self.after = np.ceil(at).astype(np.intp)
        self.weight = at - self.before.astype(np.float32)


def _samples(side: int, area: float, size: int) -> _Samples:
    one, last = np.float32(1), np.float32(side - 1)
    kept = np.sqrt(np.float32(area))
    start = (one - kept) / np.float32(2)
    end = start + kept
    if size == 1:
        return _Samples(np.atleast_1d(np.float32(0.5) * (start + end) * last))
    step = (end - start) * last / np.float32(size - 1)
    return _Samples(np.clip(start * last + np.arange(size, dtype=np.float32) * step, 0, last))


def _between_columns(rows: Image, columns: _Samples) -> NDArray[np.float32]:
    """float32 [len(rows), size, 3] in 0..1."""
    left, right = (rows[:, at].astype(np.float32) * np.float32(1 / 255) for at in (columns.before, columns.after))
    return left + (right - left) * columns.weight[:, None]


def crop_and_back(image: Image, area: float) -> Image:
    """The same without TensorFlow: uint8 [H, W, 3] -> [H, W, 3].

    PIL's `crop` to sides of int(side * sqrt(area)) pixels, the smaller half of the rest in front, and PIL's bilinear
    `resize` back: to one level PIL's.
    """
    height, width = image.shape[:2]
    rows, columns = (max(1, int(side * sqrt(area))) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    kept = image[top : top + rows, left : left + columns]
    # As torch does it, first across, then down; but some lines at a time, for an image may be large.
    across = np.empty((rows, width, 3), np.uint8)
    for some in _runs(rows, width):
        across[some] = _scaled(kept[some], (len(kept[some]), width))
    out = np.empty((height, width, 3), np.uint8)
    for some in _runs(width, height):
        out[:, some] = _scaled(across[:, some], (height, across[:, some].shape[1]))
    return out


def _runs(lines: int, length: int) -> Iterator[slice]:
    at_a_time = max(1, _PIXELS_AT_A_TIME // length)
    return (slice(start, start + at_a_time) for start in range(0, lines, at_a_time))


def _scaled(part: Image, sides: tuple[int, int]) -> Image:
    return image_of(scale(planes_of(part), sides, "bilinear"))
