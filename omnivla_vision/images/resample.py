"""Resizing in float32 with one rounding at the end, as TensorFlow and JAX do it; PIL rounds after each axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.rgb import Image
from omnivla_vision.network.image_paths import Filter

Floats = NDArray[np.float32]


def _bilinear(x: Floats) -> Floats:
    return np.maximum(0, 1 - x)


def _bicubic(x: Floats) -> Floats:
    """Keys' with a = -0.5."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0)).astype(np.float32)


def _lanczos3(x: Floats) -> Floats:
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0).astype(np.float32)


# The kernel of a distance of at least 0, and its radius in pixels.
_FILTERS: dict[Filter, tuple[Callable[[Floats], Floats], int]] = {
    "bilinear": (_bilinear, 1),
    "bicubic": (_bicubic, 2),
    "lanczos3": (_lanczos3, 3),
}


def resample(image: Image, size: int, kind: Filter, *, antialias: bool = True) -> Image:
    """Squash an image into a square: uint8 [H, W, 3] -> [size, size, 3], rounded to even and clamped.

    First the height, then the width. Memory beside the image: the result of the height in float32.
    """
    if image.shape[:2] == (size, size):
        return image
    turned = _resample_and_turn(image, size, kind, antialias)
    return _resample_and_turn(turned, size, kind, antialias).round().clip(0, 255).astype(np.uint8)


def _resample_and_turn(image: NDArray[np.generic], size: int, kind: Filter, antialias: bool) -> Floats:
    """[H, W, 3] of any type -> float32 [W, size, 3]: the height is resampled, and the axes are swapped."""
    height, width, channels = image.shape
    kernel, radius = _FILTERS[kind]
    shrink = height / size
    stretch = max(shrink, 1.0) if antialias else 1.0
    out = np.empty((width, size, channels), np.float32)
    for row in range(size):
        centre = (row + 0.5) * shrink
        first = max(0, int(np.ceil(centre - radius * stretch - 0.5)))
        last = min(height - 1, int(np.floor(centre + radius * stretch - 0.5)))
        distances = np.abs(np.arange(first, last + 1) + 0.5 - centre) / stretch
        weights = kernel(distances.astype(np.float32))
        window = image[first : last + 1].reshape(last + 1 - first, -1).astype(np.float32, copy=False)
        out[:, row] = ((weights / weights.sum()) @ window).reshape(width, channels)
    return out
