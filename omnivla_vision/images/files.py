"""Image files -> RGB uint8 [H, W, 3]."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError
from omnivla_vision.images.compressed import CompressedImage
from omnivla_vision.images.exif import orientation
from omnivla_vision.images.raw import MAX_PIXELS, ImageError

logger = logging.getLogger(__name__)


class ImageFileError(VisionError):
    """A file is missing, or is not an image that can be decoded."""


def read_rgb(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image file. A rotation that it asks for is not applied, as in the public code, and said in a warning.

    Args:
        path: `~` is replaced.
        max_pixels: refuse larger images before they are decoded.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ImageFileError: no such file, or not a picture that can be decoded.
    """
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise ImageFileError(f"found {path}, and no such home directory; write the whole path") from error
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise ImageFileError(f"found {found} {path}; expected a JPEG, PNG or WebP image")
    try:
        data = np.fromfile(path, np.uint8)
        rgb = CompressedImage(data=data, max_pixels=max_pixels).rgb()
    except ImageError as error:
        raise ImageFileError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageFileError(f"found {path}, which cannot be read ({error.strerror}); check its permissions") from error
    turn = orientation(data.tobytes())
    if turn != 1:
        logger.warning(
            "%s: found a picture that asks to be turned (EXIF orientation %d); it is encoded as it is stored; if that "
            "is not how the camera sees, save it upright",
            path,
            turn,
        )
    return rgb
