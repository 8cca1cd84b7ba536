"""cv_bridge, where it is installed, for encodings that this package does not know; what it returns is checked."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from omnivla_vision.images.raw import UndecodableImageError, check_size


@cache
def available() -> bool:
    """Whether cv_bridge can be used; importing it fails in many ways, NumPy's version being a common one."""
    try:
        import cv_bridge  # noqa: F401
    except Exception:  # noqa: BLE001 - a broken optional package is an absent one
        return False
    return True


class BridgedImage:
    """An image whose encoding only cv_bridge may know."""

    def __init__(self, message: Image, *, max_pixels: int) -> None:
        self._message = message
        self._max_pixels = max_pixels

    def check(self) -> None:
        """Bound the size and compare it with the bytes; cv_bridge would trust the fields.

        Raises:
            ImageSizeError, ImageTooLargeError, ImageShapeError: no pixels, too many, or too long a side.
            UndecodableImageError: `data` is not step x height bytes.
        """
        check_size(self._message.width, self._message.height, self._max_pixels)
        size, expected = len(self._message.data), self._message.step * self._message.height
        if size != expected:
            raise UndecodableImageError(f"found {size} bytes of encoding {self._what}; expected {expected}")

    def rgb(self) -> NDArray[np.uint8]:
        """Convert to uint8 [H, W, 3].

        Raises:
            UndecodableImageError: cv_bridge refuses, or returns something else than such a picture.
        """
        from cv_bridge import CvBridge

        try:
            rgb: Any = CvBridge().imgmsg_to_cv2(self._message, desired_encoding="rgb8")
        except Exception as error:
            raise UndecodableImageError(f"cv_bridge does not convert encoding {self._what}: {error}") from error
        expected = (self._message.height, self._message.width, 3)
        if not isinstance(rgb, np.ndarray) or rgb.shape != expected or rgb.dtype != np.uint8:
            found = f"{rgb.dtype} {list(rgb.shape)}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
            raise UndecodableImageError(
                f"cv_bridge made {found} of encoding {self._what}; expected uint8 {list(expected)}"
            )
        return rgb

    @property
    def _what(self) -> str:
        return repr(self._message.encoding)
