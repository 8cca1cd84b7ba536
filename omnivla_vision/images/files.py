"""Image files -> RGB uint8 [H, W, 3]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError
from omnivla_vision.images.compressed import CompressedImage
from omnivla_vision.images.raw import ImageError


class ImageFileError(VisionError):
    """A file is missing, or is not an image that can be decoded."""


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image file.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ImageFileError: no such file, or not a picture that can be decoded.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise ImageFileError(f"found {found} {path}; expected a JPEG, PNG or WebP image")
    try:
        return CompressedImage(data=np.fromfile(path, np.uint8)).rgb()
    except ImageError as error:
        raise ImageFileError(f"{path}: {error}") from error
