"""Pictures of every size are treated alike, by every OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from omnivla_vision.images.opencv import swap_red_and_blue, thumbnail
from omnivla_vision.tokens.pictures import beside


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (48, 64)])
def test_swap_red_and_blue(shape: tuple[int, int]) -> None:
    padded = np.random.default_rng(0).integers(0, 256, (*shape, 5), np.uint8)
    picture = padded[..., :3]
    assert np.array_equal(swap_red_and_blue(picture), np.stack([picture[..., c] for c in (2, 1, 0)], axis=-1))


def test_one_pixel_fills_a_thumbnail() -> None:
    pixel = np.array([[[200, 100, 50]]], np.uint8)
    assert (thumbnail(pixel, width=3, height=2) == np.tile(pixel, (2, 3, 1))).all()
    assert beside(pixel, pixel, height=2, gap=1)[:, [0, 1, 3, 4]].tolist() == [[[200, 100, 50]] * 4] * 2


def test_a_thumbnail_is_opencvs() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    expected = cv2.resize(picture, (16, 12), interpolation=cv2.INTER_AREA)
    assert np.array_equal(thumbnail(picture, width=16, height=12), expected)
