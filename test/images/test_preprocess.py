"""Preprocessing against PIL and the public code's arithmetic, on real photographs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

pytest.importorskip("torch")

import torch

from omnivla_vision.images.preprocess import Preprocessor, preprocess
from omnivla_vision.images.resize import resize
from omnivla_vision.images.rgb import NotAnRgbImageError
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.presets import get_preset

SIZE = ImageSize.square(224)

DINOV2_MEAN, DINOV2_STD = (0.484375, 0.455078125, 0.40625), (0.228515625, 0.2236328125, 0.224609375)


def pil_resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(PilImage.fromarray(image).resize((size, size), PilImage.BICUBIC))


@pytest.mark.parametrize("size", [224, 256])
@pytest.mark.parametrize("shape", [None, (480, 640), (720, 1280), (144, 256)])
def test_resize_is_pils_to_one_level(
    photographs: list[NDArray[np.uint8]], size: int, shape: tuple[int, int] | None
) -> None:
    for photograph in photographs:
        image = photograph if shape is None else np.ascontiguousarray(photograph[: shape[0], : shape[1]])
        ours = resize(image, ImageSize.square(size)).permute(1, 2, 0).numpy().astype(int)
        difference = np.abs(ours - pil_resize(image, size).astype(int))
        assert difference.max() <= 1
        assert difference.mean() <= 0.05


def test_resize_at_the_networks_size_is_the_identity(photographs: list[NDArray[np.uint8]]) -> None:
    image = np.ascontiguousarray(photographs[0][:224, :224])
    assert np.array_equal(resize(image, SIZE).permute(1, 2, 0).numpy(), image)


def test_the_pair_has_twelve_channels_in_the_documented_order(photographs: list[NDArray[np.uint8]]) -> None:
    current, goal = (np.ascontiguousarray(photograph[:224, :224]) for photograph in photographs[:2])
    (pair,) = preprocess(current, goal, get_preset("dinosiglip-224"))
    assert pair.shape == (1, 12, 224, 224)
    assert pair.dtype == torch.float32
    for offset, image in ((0, current), (6, goal)):
        unit = image.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        for first, mean, std in ((0, DINOV2_MEAN, DINOV2_STD), (3, (0.5,) * 3, (0.5,) * 3)):
            for channel in range(3):
                expected = (unit[channel] - np.float32(mean[channel])) / np.float32(std[channel])
                assert np.array_equal(pair[0, offset + first + channel].numpy(), expected)


def test_encoders_of_different_input_sizes_get_stacks_of_their_own(photographs: list[NDArray[np.uint8]]) -> None:
    stacks = Preprocessor(get_preset("small"))(photographs[:2])
    assert [tuple(stack.shape) for stack in stacks] == [(2, 3, 224, 224), (2, 3, 256, 256)]


def test_a_padded_or_read_only_view_gives_the_same_as_a_copy(photographs: list[NDArray[np.uint8]]) -> None:
    view = photographs[0][10:210, 5:305]
    locked = view.copy()
    locked.flags.writeable = False
    assert torch.equal(resize(view, SIZE), resize(view.copy(), SIZE))
    assert torch.equal(resize(locked, SIZE), resize(view.copy(), SIZE))


def test_the_id_tells_normalizations_apart() -> None:
    big, small = (Preprocessor(get_preset(name)).id for name in ("dinosiglip-224", "small"))
    assert "dinov2:224:mean=0.484375,0.455078125,0.40625" in big
    assert "dinov2:224:mean=0.485,0.456,0.406" in small


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_anything_but_rgb_uint8_is_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(NotAnRgbImageError, match=r"expected uint8 \[height, width, 3\]"):
        resize(image, SIZE)
