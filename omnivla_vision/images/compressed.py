"""JPEG, PNG and WebP files -> RGB uint8 [H, W, 3], with size and completeness checked before anything is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.opencv import swap_red_and_blue
from omnivla_vision.images.raw import MAX_PIXELS, DepthImageError, UndecodableImageError, check_size

Image = NDArray[np.uint8]

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xae\x42\x60\x82"
_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
# Start-of-frame markers hold the size: 0xC0 to 0xCF, but for three that mean something else.
_JPEG_SIZE_MARKERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_START_OF_SCAN = 0xDA


@dataclass(frozen=True, kw_only=True)
class CompressedImage:
    """The fields of a sensor_msgs/CompressedImage, without ROS, and how many pixels it may have.

    `format` only tells depth images apart: drivers write many things into it. What the bytes are is read from them.
    """

    data: bytes | bytearray | memoryview | NDArray[np.uint8]
    format: str = ""
    max_pixels: int = MAX_PIXELS

    def check(self) -> None:
        """Read the size from the file's header and compare it with the limit; decodes nothing.

        Raises:
            DepthImageError: `format` says that it is a depth image.
            UndecodableImageError: not the start of a JPEG, PNG or WebP file, or a file that is cut off.
            ImageSizeError, ImageTooLargeError, ImageShapeError: no pixels, more than `max_pixels`, or too long a side.
        """
        if "compresseddepth" in self.format.lower():
            raise DepthImageError(
                f"found compressed image format {self.format!r}: distances, not colours; connect the colour camera"
            )
        check_size(*read_size(np.frombuffer(self.data, np.uint8).tobytes()), self.max_pixels)

    def rgb(self) -> Image:
        """Decode to uint8 [height, width, 3]; raises ImageError."""
        return decode_compressed(np.frombuffer(self.data, dtype=np.uint8), max_pixels=self.max_pixels)


def decode_compressed(data: NDArray[np.uint8], *, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a JPEG, PNG or WebP file; an EXIF rotation is not applied, since the encoder sees what the camera sent.

    A JPEG whose middle is damaged but whose structure is whole decodes to a wrong picture: the format has no checksum.

    Args:
        data: the file's bytes, uint8 [N].
        max_pixels: refuse more than these before decoding.

    Returns:
        uint8 [height, width, 3]; grey is spread over three channels, transparency is dropped, 16 bits become 8.

    Raises:
        UndecodableImageError: the bytes are empty, corrupt, cut off, or of another kind.
        ImageSizeError, ImageTooLargeError, ImageShapeError: no pixels, too many, or too long a side.
    """
    content = data.tobytes()
    width, height = read_size(content)
    check_size(width, height, max_pixels)
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise _undecodable(content, "that do not decode")
    if bgr.shape[:2] != (height, width):
        found = f"{bgr.shape[1]}x{bgr.shape[0]}"
        raise _undecodable(content, f"whose header says {width}x{height} and whose picture is {found}")
    return swap_red_and_blue(np.asarray(bgr, dtype=np.uint8))


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height as the file's header states them, of a file that is complete.

    Raises:
        UndecodableImageError: another kind of file, no size where it belongs, or the end is missing.
    """
    try:
        if data.startswith(_JPEG_START):
            return _jpeg_size(data)
        if data.startswith(_PNG_START):
            return _png_size(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
    except (struct.error, IndexError):
        raise _undecodable(data, "that end inside the header") from None
    raise _undecodable(data, "that do not decode")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    # OpenCV decodes a JPEG that breaks off without complaint, its lower part grey. Some cameras pad theirs with zeros.
    if not data.rstrip(b"\0").endswith(_JPEG_END):
        raise _undecodable(data, "without the end marker of a JPEG; the image is cut off")
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # filling
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _JPEG_SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        if marker == _JPEG_START_OF_SCAN or length < 2:
            break
        position += 2 + length
    raise _undecodable(data, "with a damaged JPEG header")


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise _undecodable(data, "with a damaged PNG header")
    if not data.rstrip(b"\0").endswith(_PNG_END):
        raise _undecodable(data, "without the last chunk of a PNG; the image is cut off")
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < 8 + length:
        raise _undecodable(data, f"of a WebP file of {8 + length}; the image is cut off")
    kind = data[12:16]
    if kind == b"VP8 ":  # lossy: three bytes of frame tag, three of start code
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":  # lossless: one byte of signature, then 14 bits each, minus one
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":  # extended: flags, then 24 bits each, minus one
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    raise _undecodable(data, "with a damaged WebP header")


def _undecodable(data: bytes, what: str) -> UndecodableImageError:
    return UndecodableImageError(
        f"found {len(data)} bytes starting with {data[:4].hex(' ') or 'nothing'} {what}; expected a JPEG (ff d8), PNG "
        "(89 50) or WebP (52 49) image"
    )
