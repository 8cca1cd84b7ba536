"""Raw image bytes and their description -> RGB uint8 [H, W, 3], or a refusal that says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError
from omnivla_vision.images.encodings import DEPTH, ENCODINGS, Encoding

Image = NDArray[np.uint8]

# What a picture may have at most unless the caller says otherwise: 32 Mpx, more than any robot's camera.
MAX_PIXELS = 32_000_000
# What resizing costs grows with the longer side and, for a centre crop, with the ratio of the sides, however few the
# pixels: 1x1,000,000 of them took 0.8 GB. Line-scan cameras have up to 16,384 pixels a line, and a lidar's picture
# of 16 lines has up to 2,048 columns, 128:1.
MAX_SIDE = 16_384
MAX_RATIO = 128


class ImageError(VisionError):
    """Base of the reasons for which an image is refused."""


class UnsupportedEncodingError(ImageError):
    """The encoding is not one that this package converts."""


class DepthImageError(UnsupportedEncodingError):
    """The image holds distances or other measurements, not colours."""


class ImageSizeError(ImageError):
    """Height, width, step and the number of bytes do not fit together."""


class ImageTooLargeError(ImageError):
    """The image claims more pixels than the limit; nothing was decoded."""


class ImageShapeError(ImageError):
    """The image is longer, or narrower, than any camera's."""


class UndecodableImageError(ImageError):
    """The bytes do not decode to an image."""


class ImageSource(Protocol):
    """An image as it arrived: checked in microseconds, converted when its turn comes."""

    def check(self) -> None:
        """Raise ImageError for whatever can be seen without decoding."""
        ...

    def rgb(self) -> Image:
        """Convert to uint8 [H, W, 3]; raises ImageError."""
        ...


@dataclass(frozen=True, kw_only=True)
class RawImage:
    """The fields of a sensor_msgs/Image, without ROS, and how many pixels it may have.

    `data` is any buffer of bytes; it is not copied.
    """

    data: bytes | bytearray | memoryview | NDArray[np.uint8]
    height: int
    width: int
    encoding: str
    step: int
    is_bigendian: bool = False
    max_pixels: int = MAX_PIXELS

    @classmethod
    def of(cls, message: Any, *, max_pixels: int = MAX_PIXELS) -> RawImage:
        """The fields of a message, rclpy's or rosbags'."""
        names = ("data", "height", "width", "encoding", "step")
        fields = {name: getattr(message, name) for name in names}
        return cls(**fields, is_bigendian=bool(message.is_bigendian), max_pixels=max_pixels)

    def check(self) -> None:
        """Compare the fields with one another; looks at no pixel.

        Raises:
            UnsupportedEncodingError: the encoding is not in the table; DepthImageError if it is one of depth images.
            ImageTooLargeError: height x width is more than `max_pixels`.
            ImageShapeError: a side is too long, or too long for the other.
            ImageSizeError: a size is not positive or not even where it must be, `step` is shorter than a row, or `data`
                has another length than step and height say.
        """
        encoding = _encoding(self.encoding)
        check_size(self.width, self.height, self.max_pixels)
        if self.width % encoding.width_multiple or self.height % encoding.height_multiple:
            raise ImageSizeError(
                f"found an image of {self.width}x{self.height} pixels; {self.encoding} needs multiples of "
                f"{encoding.width_multiple}x{encoding.height_multiple}"
            )
        row = self.width * encoding.row_bytes
        if self.step < row or (self.step > row and not encoding.padding):
            raise ImageSizeError(
                f"found step {self.step} for rows of {self.width} {self.encoding} pixels; expected "
                f"{'at least' if encoding.padding else 'exactly'} {row} bytes"
            )
        # Python's integers do not overflow, whatever the fields claim.
        size, expected = np.frombuffer(self.data, np.uint8).size, self.step * encoding.rows(self.height)
        if size != expected:
            raise ImageSizeError(
                f"found {size} bytes for step {self.step} x height {self.height}; expected {expected}: the message is "
                "truncated or its size fields are wrong"
            )

    def rgb(self) -> Image:
        """Convert, honouring `step` (rows may be padded) and the byte order of 16-bit samples.

        Returns:
            uint8 [height, width, 3]; for `rgb8` a view of `data`, otherwise a new array. 16-bit samples are scaled by
            255/65535 and rounded.

        Raises:
            ImageError: see `check`.
        """
        self.check()
        encoding = _encoding(self.encoding)
        rows = np.frombuffer(self.data, dtype=np.uint8).reshape(-1, self.step)
        try:
            return encoding.to_rgb(encoding.samples(rows, self.width, bool(self.is_bigendian)))
        except cv2.error as error:  # no size that passes the check is known to get here
            raise UndecodableImageError(
                f"found a {self.width}x{self.height} {self.encoding} image that OpenCV does not convert: {error}"
            ) from error


def to_rgb(image: RawImage) -> Image:
    """`image.rgb()`."""
    return image.rgb()


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Bound an image's size before memory is spent on it.

    Raises:
        ImageSizeError: no pixels.
        ImageTooLargeError: more than `max_pixels`.
        ImageShapeError: see `check_shape`.
    """
    if height <= 0 or width <= 0:
        raise ImageSizeError(f"found an image of {width}x{height} pixels; expected at least 1x1")
    if height * width > max_pixels:
        raise ImageTooLargeError(
            f"found an image of {width}x{height} pixels; expected at most {max_pixels} pixels; if it is real, raise "
            "the limit (max_image_pixels)"
        )
    check_shape(width, height)


def check_shape(width: int, height: int) -> None:
    """Bound what resizing costs: with these limits less than 300 MB beside the image, whatever it is.

    Raises:
        ImageShapeError: a side is longer than `MAX_SIDE`, or `MAX_RATIO` times the other.
    """
    longer, shorter = max(width, height), min(width, height)
    if longer > MAX_SIDE or longer > MAX_RATIO * shorter:
        raise ImageShapeError(
            f"found an image of {width}x{height} pixels; expected sides of at most {MAX_SIDE} pixels, the longer at "
            f"most {MAX_RATIO} times the shorter; crop or split the image upstream"
        )


def _encoding(name: str) -> Encoding:
    encoding = ENCODINGS.get(name)
    if encoding is not None:
        return encoding
    if DEPTH.fullmatch(name):
        raise DepthImageError(
            f"found image encoding {name!r}: depth or other measurements, not colours; connect the colour camera"
        )
    raise UnsupportedEncodingError(
        f"found image encoding {name!r}; expected one of {', '.join(ENCODINGS)}; convert the image upstream, for "
        "example with image_proc"
    )
