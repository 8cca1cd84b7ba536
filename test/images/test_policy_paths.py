"""The image paths of NavDP, SmolVLA and CityWalker against the libraries that their own code calls."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.images.image_path import follow
from omnivla_vision.network.image_paths import get_image_path

Image = NDArray[np.uint8]
SHAPES = [(480, 640), (720, 1280), (640, 480), (100, 160), (512, 512), (224, 224), (400, 400)]


@pytest.fixture(params=SHAPES, ids=str)
def image(request: pytest.FixtureRequest, photographs: list[Image]) -> Image:
    height, width = request.param
    large = max(photographs, key=lambda photograph: photograph.size)
    return np.ascontiguousarray(large[:height, :width])


def test_smolvlas_is_its_own_to_the_rounding(image: Image) -> None:
    """`resize_with_pad` of [1, 3, H, W] in 0..1: floats there, whole levels here."""
    planes = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float() / 255
    height, width = planes.shape[2:]
    ratio = max(width / 512, height / 512)
    sides = int(height / ratio), int(width / ratio)
    resized = F.interpolate(planes, size=sides, mode="bilinear", align_corners=False)
    expected = F.pad(resized, (512 - sides[1], 0, 512 - sides[0], 0), value=0)
    found = torch.from_numpy(follow(image, get_image_path("smolvla"))).permute(2, 0, 1).float()
    assert found.shape == (3, 512, 512)
    assert (found - 255 * expected[0]).abs().max() <= 0.5 + 1e-3


def test_navdps_is_its_own_to_a_level(image: Image) -> None:
    """`process_image`, which resizes in OpenCV's fixed-point arithmetic."""
    scale = 224 / max(image.shape[:2])
    resized = cv2.resize(image, (-1, -1), fx=scale, fy=scale)
    above, before = ((224 - side) // 2 for side in resized.shape[:2])
    padded = np.pad(resized, ((above, above), (before, before), (0, 0)))
    expected = cv2.resize(padded, (224, 224)).astype(int)
    found = follow(image, get_image_path("navdp")).astype(int)
    assert found.shape == (224, 224, 3)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("shape", [(360, 640), (480, 640), (720, 1280), (481, 641), (240, 320), (101, 900), (400, 301)])
def test_citywalkers_is_its_own(timm: object, photographs: list[Image], shape: tuple[int, int]) -> None:
    """`process_frames`, then the crop of the model's forward."""
    from torchvision.transforms import functional as tvf

    large = max(photographs, key=lambda photograph: photograph.size)
    image = np.ascontiguousarray(large[: shape[0], : shape[1]])
    planes: Tensor = torch.from_numpy(image).permute(2, 0, 1)
    missing = max(0, 360 - shape[0]), max(0, 640 - shape[1])
    borders = [missing[1] // 2, missing[0] // 2, missing[1] - missing[1] // 2, missing[0] - missing[0] // 2]
    framed = tvf.center_crop(tvf.pad(planes, borders), [360, 640])
    expected = tvf.center_crop(framed, [350, 630])
    found = follow(image, get_image_path("citywalker"))
    assert np.array_equal(found, expected.permute(1, 2, 0).numpy())
