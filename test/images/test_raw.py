"""Raw image bytes to RGB, against an arithmetic of this file's own, and the refusals."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnivla_vision.images.encodings import ENCODINGS
from omnivla_vision.images.raw import (
    DepthImageError,
    ImageError,
    ImageSizeError,
    ImageTooLargeError,
    RawImage,
    UnsupportedEncodingError,
    to_rgb,
)

Samples = NDArray[Any]
COLOUR = (200, 120, 40)


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def message(
    samples: Samples, encoding: str, *, width: int, height: int, padding: int = 0, big: bool = False
) -> RawImage:
    """An image message's fields of [rows, samples] in memory; padding bytes are 0xEE."""
    dtype = samples.dtype.newbyteorder(">" if big else "<")
    rows = np.ascontiguousarray(samples.astype(dtype)).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xEE)
    return RawImage(
        data=rows.tobytes(), height=height, width=width, encoding=encoding, step=rows.shape[1], is_bigendian=big
    )


def channels(rgb: NDArray[Any], encoding: str) -> Samples:
    """[H, W * channels] of a colour encoding, written without the code under test."""
    alpha = np.full((*rgb.shape[:2], 1), 77, rgb.dtype)
    order = encoding.rstrip("0123456789")
    layers = {"r": rgb[..., :1], "g": rgb[..., 1:2], "b": rgb[..., 2:], "a": alpha}
    pixels = rgb[..., :1] if order == "mono" else np.concatenate([layers[letter] for letter in order], axis=2)
    return pixels.reshape(rgb.shape[0], -1)


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_8_bits_with_and_without_padding(rgb: NDArray[np.uint8], encoding: str, padding: int) -> None:
    image = message(channels(rgb, encoding), encoding, width=8, height=6, padding=padding)
    expected = np.repeat(rgb[..., :1], 3, axis=2) if encoding == "mono8" else rgb
    assert np.array_equal(to_rgb(image), expected)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 6])
@pytest.mark.parametrize("encoding", ["rgb16", "bgr16", "rgba16", "bgra16", "mono16"])
def test_16_bits_in_either_byte_order(encoding: str, padding: int, big: bool) -> None:
    wide = np.random.default_rng(1).integers(0, 65536, (6, 8, 3), np.uint16)
    image = message(channels(wide, encoding), encoding, width=8, height=6, padding=padding, big=big)
    expected = np.rint(wide / 257).astype(np.uint8)
    if encoding == "mono16":
        expected = np.repeat(expected[..., :1], 3, axis=2)
    assert np.array_equal(to_rgb(image), expected)


@pytest.mark.parametrize(("encoding", "alias"), [("mono8", "8UC1"), ("bgr8", "8UC3"), ("bgra8", "8UC4")])
def test_opencvs_names(rgb: NDArray[np.uint8], encoding: str, alias: str) -> None:
    samples = channels(rgb, encoding)
    images = [to_rgb(message(samples, name, width=8, height=6)) for name in (encoding, alias)]
    assert np.array_equal(*images)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns(pattern: str, bits: int, big: bool) -> None:
    """The pattern's letters are the colours of the top left 2 x 2 pixels, row by row."""
    scale = 1 if bits == 8 else 257
    tile = np.array([COLOUR["rgb".index(letter)] * scale for letter in pattern]).reshape(2, 2)
    mosaic = np.tile(tile, (8, 8)).astype(np.uint8 if bits == 8 else np.uint16)
    picture = to_rgb(message(mosaic, f"bayer_{pattern}{bits}", width=16, height=16, padding=4, big=big))
    assert picture.shape == (16, 16, 3)
    assert (picture == np.array(COLOUR)).all()


def yuv_of(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """BT.601, video range."""
    r, g, b = colour
    y = 16 + (65.738 * r + 129.057 * g + 25.064 * b) / 256
    u = 128 + (-37.945 * r - 74.494 * g + 112.439 * b) / 256
    v = 128 + (112.439 * r - 94.154 * g - 18.285 * b) / 256
    return round(y), round(u), round(v)


def yuv_memory(encoding: str, left: tuple[int, int, int], right: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A 16 x 8 picture, its left half of one colour and its right half of another, as [rows, bytes]."""
    width, height = 16, 8
    planes = np.zeros((3, height, width), np.uint8)
    planes[:, :, : width // 2] = np.array(yuv_of(left), np.uint8)[:, None, None]
    planes[:, :, width // 2 :] = np.array(yuv_of(right), np.uint8)[:, None, None]
    y, u, v = planes
    u2, v2 = u[:, ::2], v[:, ::2]
    match encoding:
        case "uyvy" | "yuv422":
            return np.stack([u2, y[:, ::2], v2, y[:, 1::2]], axis=2).reshape(height, -1)
        case "yuyv" | "yuv422_yuy2":
            return np.stack([y[:, ::2], u2, y[:, 1::2], v2], axis=2).reshape(height, -1)
        case "nv12" | "nv21":
            pair = (u2[::2], v2[::2]) if encoding == "nv12" else (v2[::2], u2[::2])
            return np.concatenate([y, np.stack(pair, axis=2).reshape(height // 2, -1)])
        case _:
            return np.concatenate([y, np.stack([u, v], axis=2).reshape(2 * height, width)])


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21", "nv24"])
def test_yuv(encoding: str, padding: int) -> None:
    left, right = COLOUR, (30, 90, 220)
    memory = yuv_memory(encoding, left, right)
    image = message(memory, encoding, width=16, height=8, padding=padding)
    if encoding == "nv24" and padding:
        with pytest.raises(ImageSizeError, match="found step 22 for rows of 16 nv24 pixels; expected exactly 16 bytes"):
            image.check()
        return
    picture = to_rgb(image).astype(int)
    assert picture.shape == (8, 16, 3)
    # Away from the seam, where chroma is shared; two levels for rounding, twice.
    assert np.abs(picture[:, :6] - np.array(left)).max() <= 2
    assert np.abs(picture[:, 10:] - np.array(right)).max() <= 2


def test_every_encoding_of_the_table_is_tested() -> None:
    tested = {"rgb8", "bgr8", "rgba8", "bgra8", "mono8", "rgb16", "bgr16", "rgba16", "bgra16", "mono16", "8UC1", "8UC3"}
    tested |= {"8UC4", "uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21", "nv24"}
    tested |= {f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)}
    assert set(ENCODINGS) == tested


def test_rgb8_is_a_view(rgb: NDArray[np.uint8]) -> None:
    data = np.ascontiguousarray(rgb).reshape(-1)
    image = RawImage(data=data, height=6, width=8, encoding="rgb8", step=24)
    assert np.shares_memory(to_rgb(image), data)


FIELDS = {"data": bytes(144), "height": 6, "width": 8, "encoding": "rgb8", "step": 24}


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"height": 0}, ImageSizeError, "found an image of 8x0 pixels"),
        ({"width": 0, "step": 0}, ImageSizeError, "found an image of 0x6 pixels"),
        ({"step": 23}, ImageSizeError, "found step 23 for rows of 8 rgb8 pixels; expected at least 24 bytes"),
        ({"step": 0}, ImageSizeError, "found step 0"),
        ({"height": 7}, ImageSizeError, "found 144 bytes for step 24 x height 7; expected 168"),
        ({"height": 5}, ImageSizeError, "found 144 bytes for step 24 x height 5; expected 120"),
        ({"step": 2**32 - 1}, ImageSizeError, "found 144 bytes for step 4294967295 x height 6; expected 25769803770"),
        ({"data": b""}, ImageSizeError, "found 0 bytes"),
        (
            {"data": bytes(10), "height": 65535, "width": 65535},
            ImageTooLargeError,
            "65535x65535 pixels; expected at most",
        ),
        ({"height": 2**32 - 1, "width": 2**32 - 1}, ImageTooLargeError, "expected at most 32000000 pixels"),
        ({"max_pixels": 47}, ImageTooLargeError, "found an image of 8x6 pixels; expected at most 47"),
        ({"encoding": "nv12", "width": 7}, ImageSizeError, "nv12 needs multiples of 2x2"),
        ({"encoding": "bayer_rggb8", "height": 5}, ImageSizeError, "needs multiples of 2x2"),
        ({"encoding": "yuyv", "width": 9}, ImageSizeError, "needs multiples of 2x1"),
        ({"encoding": "16UC1"}, DepthImageError, "'16UC1': depth or other measurements, not colours"),
        ({"encoding": "32FC1"}, DepthImageError, "connect the colour camera"),
        ({"encoding": ""}, UnsupportedEncodingError, "expected one of rgb8, bgr8"),
        ({"encoding": "RGB8"}, UnsupportedEncodingError, "found image encoding 'RGB8'"),
        ({"encoding": "rgb8\0"}, UnsupportedEncodingError, "expected one of"),
    ],
)
def test_refusals(change: dict[str, Any], error: type[ImageError], match: str) -> None:
    image = RawImage(**{**FIELDS, **change})
    with pytest.raises(error, match=match):
        image.check()
    with pytest.raises(error, match=match):
        image.rgb()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_smallest_images_convert(encoding: str) -> None:
    """OpenCV must not fail where our own check found nothing."""
    kind = ENCODINGS[encoding]
    width, height = kind.width_multiple, kind.height_multiple
    step = width * kind.row_bytes
    image = RawImage(data=bytes(step * kind.rows(height)), height=height, width=width, encoding=encoding, step=step)
    assert to_rgb(image).shape == (height, width, 3)


def test_opencv_agrees_on_a_photograph(photographs: list[NDArray[np.uint8]]) -> None:
    """A picture with edges and noise, where a swapped chroma or a shifted mosaic would show."""
    photograph = cv2.resize(photographs[0], (320, 240), interpolation=cv2.INTER_AREA)
    i420 = cv2.cvtColor(photograph, cv2.COLOR_RGB2YUV_I420)
    y, u, v = i420[:240], i420[240:300].reshape(120, 160), i420[300:].reshape(120, 160)
    nv12 = np.concatenate([y, np.stack([u, v], axis=2).reshape(120, 320)])
    picture = to_rgb(message(nv12, "nv12", width=320, height=240)).astype(int)
    assert np.abs(picture - photograph).mean() < 4
