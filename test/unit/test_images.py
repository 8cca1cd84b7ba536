"""Raw image bytes to RGB, and the refusals."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnivla_vision.images import (
    ImageSizeError,
    RawImage,
    UndecodableImageError,
    UnsupportedEncodingError,
    decode_compressed,
    to_rgb,
)


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)


def encode(rgb: NDArray[np.uint8], encoding: str, padding: int = 0) -> RawImage:
    """An image message's fields, written without the code under test; padding bytes are 0xEE."""
    alpha = np.full((*rgb.shape[:2], 1), 77, np.uint8)
    pixels = {
        "rgb8": rgb,
        "bgr8": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], axis=2),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], axis=2),
        "mono8": rgb[..., :1],
    }[encoding]
    rows = np.ascontiguousarray(pixels).reshape(rgb.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xEE)
    return RawImage(data=rows.tobytes(), height=rgb.shape[0], width=rgb.shape[1], encoding=encoding, step=rows.shape[1])


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_every_encoding_with_and_without_padding(rgb: NDArray[np.uint8], encoding: str, padding: int) -> None:
    expected = np.repeat(rgb[..., :1], 3, axis=2) if encoding == "mono8" else rgb
    assert np.array_equal(to_rgb(encode(rgb, encoding, padding)), expected)


def test_rgb8_is_a_view(rgb: NDArray[np.uint8]) -> None:
    data = np.ascontiguousarray(rgb).reshape(-1)
    image = RawImage(data=data, height=7, width=5, encoding="rgb8", step=15)
    assert np.shares_memory(to_rgb(image), data)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"height": 0}, "found an image of 5x0 pixels"),
        ({"width": 0, "step": 0}, "found an image of 0x7 pixels"),
        ({"step": 14}, "found step 14 for rows of 5 rgb8 pixels; expected at least 15 bytes"),
        ({"height": 8}, "found 105 bytes for step 15 x height 8; expected 120"),
        ({"height": 6}, "found 105 bytes for step 15 x height 6; expected 90"),
        ({"height": 65535, "width": 65535, "step": 3 * 65535}, "found 105 bytes"),
        ({"data": b""}, "found 0 bytes"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(rgb: NDArray[np.uint8], change: dict[str, object], match: str) -> None:
    fields = {"data": rgb.tobytes(), "height": 7, "width": 5, "encoding": "rgb8", "step": 15, **change}
    with pytest.raises(ImageSizeError, match=match):
        to_rgb(RawImage(**fields))


@pytest.mark.parametrize("encoding", ["", "32FC1", "rgb", "RGB8"])
def test_unknown_encodings_are_refused_with_the_known_ones(rgb: NDArray[np.uint8], encoding: str) -> None:
    with pytest.raises(UnsupportedEncodingError, match="expected one of rgb8, bgr8"):
        to_rgb(RawImage(data=rgb.tobytes(), height=7, width=5, encoding=encoding, step=15))


def test_compressed_png_is_exact(rgb: NDArray[np.uint8]) -> None:
    _, png = cv2.imencode(".png", rgb[..., ::-1])
    assert np.array_equal(decode_compressed(png.reshape(-1)), rgb)


@pytest.mark.parametrize("keep", [0, 1, 10, 300])
def test_cut_off_jpegs_are_refused(keep: int) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    _, jpeg = cv2.imencode(".jpg", picture)
    with pytest.raises(UndecodableImageError, match=f"found {keep} bytes"):
        decode_compressed(jpeg.reshape(-1)[:keep])
