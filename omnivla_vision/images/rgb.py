"""What an RGB image is here, and the refusal of everything else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError
from omnivla_vision.images.raw import check_shape

Image = NDArray[np.uint8]


class NotAnRgbImageError(VisionError):
    """The array is not a uint8 RGB image with at least one pixel."""


def check_rgb(image: Image) -> None:
    """Refuse what is no image, or one that costs too much.

    Raises:
        NotAnRgbImageError: not uint8 [H, W, 3], or no pixels.
        ImageShapeError: longer or narrower than `check_shape` allows.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise NotAnRgbImageError(
            f"found an array of {image.dtype} {list(image.shape)}; expected uint8 [height, width, 3] with at least one "
            "pixel; convert the image to 8-bit RGB first"
        )
    check_shape(image.shape[1], image.shape[0])
