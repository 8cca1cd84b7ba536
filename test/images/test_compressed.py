"""JPEG, PNG and WebP: sizes read before decoding, and what is refused."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnivla_vision.images.compressed import CompressedImage, decode_compressed, read_size
from omnivla_vision.images.raw import (
    DepthImageError,
    ImageError,
    ImageSizeError,
    ImageTooLargeError,
    UndecodableImageError,
)

LOSSLESS_WEBP = (cv2.IMWRITE_WEBP_QUALITY, 101)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


def encode(rgb: NDArray[np.uint8], suffix: str, *options: int) -> NDArray[np.uint8]:
    channels = [2, 1, 0] + ([3] if rgb.shape[2] == 4 else [])
    _, data = cv2.imencode(suffix, np.ascontiguousarray(rgb[..., channels]), options)
    return data.reshape(-1)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", ()),
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (".jpg", (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
        (".png", ()),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 80)),
        (".webp", LOSSLESS_WEBP),
    ],
)
def test_sizes_of_every_kind(picture: NDArray[np.uint8], suffix: str, options: tuple[int, ...]) -> None:
    for height, width in ((48, 64), (1, 1), (33, 17)):
        data = encode(np.ascontiguousarray(picture[:height, :width]), suffix, *options)
        assert read_size(data.tobytes()) == (width, height)
        assert decode_compressed(data).shape == (height, width, 3)


def test_transparent_webp(picture: NDArray[np.uint8]) -> None:
    transparent = np.dstack([picture, np.full((48, 64), 128, np.uint8)])
    data = encode(transparent, ".webp", cv2.IMWRITE_WEBP_QUALITY, 80)
    assert data[12:16].tobytes() == b"VP8X"
    assert decode_compressed(data).shape == (48, 64, 3)


@pytest.mark.parametrize(("suffix", "options"), [(".png", ()), (".webp", LOSSLESS_WEBP)])
def test_lossless_kinds_are_exact(picture: NDArray[np.uint8], suffix: str, options: tuple[int, ...]) -> None:
    assert np.array_equal(decode_compressed(encode(picture, suffix, *options)), picture)


def test_a_jpeg_padded_with_zeros_is_fine(picture: NDArray[np.uint8]) -> None:
    data = encode(picture, ".jpg")
    padded = np.concatenate([data, np.zeros(100_000, np.uint8)])
    assert np.array_equal(decode_compressed(padded), decode_compressed(data))


def test_16_bit_and_grey_png(picture: NDArray[np.uint8]) -> None:
    _, data = cv2.imencode(".png", picture[..., 0].astype(np.uint16) * 257)
    assert np.array_equal(decode_compressed(data.reshape(-1)), np.repeat(picture[..., :1], 3, axis=2))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_cut_off_anywhere_is_refused(picture: NDArray[np.uint8], suffix: str) -> None:
    data = encode(picture, suffix)
    for keep in [*range(40), *range(40, data.size, max(1, data.size // 50))]:
        with pytest.raises(UndecodableImageError, match=f"found {keep} bytes"):
            CompressedImage(data=data[:keep].tobytes()).check()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_damaged_bytes_give_a_picture_or_a_refusal(picture: NDArray[np.uint8], suffix: str) -> None:
    random = np.random.default_rng(2)
    data = encode(picture, suffix)
    refused = 0
    for _ in range(200):
        damaged = data.copy()
        damaged[random.integers(0, data.size, 3)] = random.integers(0, 256, 3)
        try:
            assert decode_compressed(damaged).dtype == np.uint8
        except ImageError:
            refused += 1
    assert refused


def test_a_png_with_a_wrong_checksum_is_refused(picture: NDArray[np.uint8]) -> None:
    data = encode(picture, ".png")
    data[data.size // 2] ^= 0xFF
    with pytest.raises(UndecodableImageError, match="do not decode"):
        decode_compressed(data)


def bomb(kind: str, width: int, height: int) -> bytes:
    """The start of a file that claims a size, in a few bytes."""
    if kind == "png":
        return (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0IEND\xae\x42\x60\x82"
        )
    if kind == "jpeg":
        return b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(12) + b"\xff\xd9"
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + bytes(8) + (width - 1).to_bytes(3, "little") * 2


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_huge_claims_are_refused_before_decoding(kind: str) -> None:
    with pytest.raises(ImageTooLargeError, match="found an image of 65535x65535 pixels; expected at most 32000000"):
        CompressedImage(data=bomb(kind, 65535, 65535)).check()


def test_an_empty_size_is_refused() -> None:
    with pytest.raises(ImageSizeError, match="found an image of 0x7 pixels"):
        CompressedImage(data=bomb("jpeg", 0, 7)).check()


def test_the_limit_is_the_callers(picture: NDArray[np.uint8]) -> None:
    data = encode(picture, ".jpg")
    with pytest.raises(ImageTooLargeError, match="expected at most 3071 pixels"):
        CompressedImage(data=data, max_pixels=64 * 48 - 1).rgb()


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"GIF89a" + bytes(50), b"BM" + bytes(60), b"RIFF\x10\0\0\0AVI " + bytes(30)]
)
def test_other_kinds_are_refused(data: bytes) -> None:
    with pytest.raises(UndecodableImageError, match=r"expected a JPEG \(ff d8\)"):
        CompressedImage(data=data).check()


def test_depth_is_refused_by_its_format(picture: NDArray[np.uint8]) -> None:
    with pytest.raises(DepthImageError, match="distances, not colours"):
        CompressedImage(data=encode(picture, ".png"), format="16UC1; compressedDepth png").check()
