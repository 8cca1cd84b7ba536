"""Mask files: a PNG in black and white, white where the robot's own body is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError
from omnivla_vision.images.compressed import CompressedImage
from omnivla_vision.images.raw import MAX_PIXELS, ImageError
from omnivla_vision.network.views import Mask

_PNG = b"\x89PNG\r\n\x1a\n"


class MaskFileError(VisionError):
    """The file is missing, or is no PNG that can be decoded."""


class AmbiguousMaskError(MaskFileError):
    """A pixel is neither black nor white, or is transparent, so that it is not known whether it is hidden."""


def read_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> Mask:
    """Read a mask: white (255) is hidden, black (0) is seen, anything else refused.

    Args:
        path: `~` is replaced.
        max_pixels: refuse larger ones before they are decoded.

    Raises:
        MaskFileError: no such file, or no PNG that can be decoded.
        AmbiguousMaskError: grey, colour or transparency.
        EverythingHiddenError: all of it is white.
    """
    try:
        data = path.expanduser().read_bytes()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MaskFileError(f"found no mask {path} that can be read ({reason}); expected a PNG") from error
    if not data.startswith(_PNG):
        raise MaskFileError(f"{path}: found another kind of file; expected a PNG, white where the robot's body is")
    try:
        CompressedImage(data=data, format="mono16; png", max_pixels=max_pixels).check()
    except ImageError as error:
        raise MaskFileError(f"{path}: {error}") from error
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise MaskFileError(f"{path}: found a PNG that does not decode; expected one that is whole; save it again")
    return Mask(hidden=_hidden(path, np.atleast_3d(pixels)))


def _hidden(path: Path, pixels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Bool [H, W] of [H, W, 1 (grey), 3 (colour) or 4 (with transparency)]."""
    white = np.iinfo(pixels.dtype).max
    colours = pixels[:, :, :3]
    seen, hidden = (colours == 0).all(axis=2), (colours == white).all(axis=2)
    clear = ~(seen | hidden)
    if pixels.shape[2] == 4:
        clear |= pixels[:, :, 3] != white
    if clear.any():
        y, x = np.unravel_index(int(clear.argmax()), clear.shape)
        raise AmbiguousMaskError(
            f"{path}: found {int(clear.sum())} pixels that are neither black nor white, or transparent, the first one "
            f"{pixels[y, x].tolist()} at ({x}, {y}); expected white where the robot's body is and black elsewhere; "
            "draw without smooth edges, and save without transparency"
        )
    return np.asarray(hidden)
