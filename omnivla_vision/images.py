"""Raw image bytes and their description -> RGB uint8 [H, W, 3], or a refusal that says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError

Image = NDArray[np.uint8]


class ImageError(VisionError):
    """Base of the reasons for which an image is refused."""


class UnsupportedEncodingError(ImageError):
    """The encoding is not one that this package converts."""


class ImageSizeError(ImageError):
    """Height, width, step and the number of bytes do not fit together."""


class UndecodableImageError(ImageError):
    """Compressed bytes do not decode to an image."""


@dataclass(frozen=True, kw_only=True)
class RawImage:
    """The fields of a sensor_msgs/Image, without ROS. `data` is any buffer of bytes; it is not copied."""

    data: bytes | bytearray | memoryview | NDArray[np.uint8]
    height: int
    width: int
    encoding: str
    step: int
    is_bigendian: bool = False


@dataclass(frozen=True)
class _Layout:
    channels: int
    to_rgb: Callable[[Image], Image]


def _view(pixels: Image) -> Image:
    return pixels


def _convert(code: int) -> Callable[[Image], Image]:
    # OpenCV wants whole rows, so a padded image is made dense first.
    return lambda pixels: np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), code), dtype=np.uint8)


_LAYOUTS = {
    "rgb8": _Layout(3, _view),
    "bgr8": _Layout(3, _convert(cv2.COLOR_BGR2RGB)),
    "rgba8": _Layout(4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra8": _Layout(4, _convert(cv2.COLOR_BGRA2RGB)),
    "mono8": _Layout(1, _convert(cv2.COLOR_GRAY2RGB)),
}


def to_rgb(image: RawImage) -> Image:
    """Check an image and convert it.

    `step` is honoured (rows may be padded); byte order does not matter to 8-bit encodings.

    Returns:
        uint8 [height, width, 3]; for `rgb8` a view of `image.data`, otherwise a new array.

    Raises:
        UnsupportedEncodingError: the encoding is not in the table.
        ImageSizeError: a size is not positive, `step` is shorter than a row, or `data` is not step x height bytes.
    """
    layout = _LAYOUTS.get(image.encoding)
    if layout is None:
        raise UnsupportedEncodingError(
            f"found image encoding {image.encoding!r}; expected one of {', '.join(_LAYOUTS)}; convert the image "
            "upstream, for example with image_proc"
        )
    pixels = _pixels(image, layout.channels)
    return layout.to_rgb(pixels)


def _pixels(image: RawImage, channels: int) -> Image:
    """A [height, width, channels] view of the image's bytes, without the padding."""
    if image.height <= 0 or image.width <= 0:
        raise ImageSizeError(f"found an image of {image.width}x{image.height} pixels; expected at least 1x1")
    row = image.width * channels
    if image.step < row:
        raise ImageSizeError(
            f"found step {image.step} for rows of {image.width} {image.encoding} pixels; expected at least {row} bytes"
        )
    data = np.frombuffer(image.data, dtype=np.uint8)
    if data.size != image.step * image.height:
        raise ImageSizeError(
            f"found {data.size} bytes for step {image.step} x height {image.height}; expected "
            f"{image.step * image.height}: the message is truncated or its size fields are wrong"
        )
    rows = data.reshape(image.height, image.step)
    return rows[:, :row].reshape(image.height, image.width, channels)


_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"


def decode_compressed(data: NDArray[np.uint8]) -> Image:
    """Decode a JPEG, PNG or WebP file; an EXIF rotation is not applied, since the encoder sees what the camera sent.

    Args:
        data: the file's bytes, uint8 [N].

    Returns:
        uint8 [height, width, 3]; grey is spread over three channels, transparency is dropped.

    Raises:
        UndecodableImageError: the bytes are empty, corrupt, cut off, or of another kind.
    """
    start = data[:2].tobytes()
    # OpenCV decodes a JPEG that breaks off without complaint, its lower part grey. Some cameras pad theirs with zeros.
    if start == _JPEG_START and not data.tobytes().rstrip(b"\0").endswith(_JPEG_END):
        raise UndecodableImageError(f"found {data.size} bytes of JPEG without an end marker; the image is cut off")
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    except cv2.error:
        bgr = None
    if bgr is None:
        raise UndecodableImageError(
            f"found {data.size} bytes starting with {start.hex(' ') or 'nothing'} that do not decode; expected a JPEG "
            "(ff d8), PNG (89 50) or WebP (52 49) image"
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
