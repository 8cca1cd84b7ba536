"""JPEG, PNG and WebP without decoding them: how large the picture is, and where the file ends.

Cameras and programs append bytes: fixed-size buffers, fillings, a phone's clip. And a file that is cut off decodes to a
picture whose rest is grey. Both can only be told apart by walking from part to part up to the one that ends the file.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from omnivla_vision.images.raw import UndecodableImageError

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8"
# Start-of-frame markers hold the size: 0xC0 to 0xCF, but for three that mean something else.
_JPEG_SIZE_MARKERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_END, _JPEG_START_OF_SCAN = 0xD9, 0xDA
# In compressed data a 0xFF is followed by 0x00, by more of its kind, or by a restart marker, 0xD0 to 0xD7.
_JPEG_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_FILLING = re.compile(rb"\xff+")
# Far more than any real file has: what millions of empty parts would cost is time.
_MAX_PARTS = 100_000


@dataclass(frozen=True, kw_only=True)
class Container:
    """A complete file.

    Attributes:
        width, height: of the picture, in pixels.
        end: bytes up to the end of the file; what follows does not belong to it.
        grey16: a PNG of one channel of 16 bits, which is how depth images are stored.
    """

    width: int
    height: int
    end: int
    grey16: bool = False


def read_container(data: bytes) -> Container:
    """Walk through a file.

    Raises:
        UndecodableImageError: another kind of file, a damaged structure, or the end is missing.
    """
    try:
        if data.startswith(_JPEG_START):
            return _jpeg(data)
        if data.startswith(_PNG_START):
            return _png(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):
        raise undecodable(data, "that end before the end of the image; it is cut off") from None
    raise undecodable(data, "that do not decode")


def _jpeg(data: bytes) -> Container:
    size, position = None, 2
    for _ in range(_MAX_PARTS):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # filling
            run = _FILLING.match(data, position)
            assert run
            position = run.end() - 1
            continue
        if marker == _JPEG_END:
            if size is None:
                break
            return Container(width=size[0], height=size[1], end=position + 2)
        (length,) = struct.unpack_from(">H", data, position + 2)
        if length < 2:
            break
        if marker in _JPEG_SIZE_MARKERS and size is None:
            height, width = struct.unpack_from(">HH", data, position + 5)
            size = width, height
        position += 2 + length
        if marker == _JPEG_START_OF_SCAN:
            found = _JPEG_AFTER_SCAN.search(data, position)
            if found is None:
                raise IndexError
            position = found.start()
    raise undecodable(data, "with a damaged JPEG header")


def _png(data: bytes) -> Container:
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR":
        raise undecodable(data, "with a damaged PNG header")
    position = len(_PNG_START)
    for _ in range(_MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length  # length, kind, content, checksum
        if position > len(data):
            raise IndexError
        if kind == b"IEND":
            return Container(width=width, height=height, end=position, grey16=(bits, colour) == (16, 0))
    raise undecodable(data, "with a damaged PNG structure")


def _webp(data: bytes) -> Container:
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < 8 + length:
        raise undecodable(data, f"of a WebP file of {8 + length}; the image is cut off")
    kind = data[12:16]
    if kind == b"VP8 ":  # lossy: three bytes of frame tag, three of start code
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    elif kind == b"VP8L":  # lossless: one byte of signature, then 14 bits each, minus one
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X":  # extended: flags, then 24 bits each, minus one
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    else:
        raise undecodable(data, "with a damaged WebP header")
    return Container(width=width, height=height, end=8 + length)


def undecodable(data: bytes, what: str) -> UndecodableImageError:
    """The refusal of bytes, with what they are."""
    return UndecodableImageError(
        f"found {len(data)} bytes starting with {data[:4].hex(' ') or 'nothing'} {what}; expected a JPEG (ff d8), PNG "
        "(89 50) or WebP (52 49) image"
    )
