"""Letterbox and centre crop against torchvision and PIL, which the public processors call."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

pytest.importorskip("torch")

import torch

from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.images.resize import resize
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.preprocessing_id import preprocessing_id
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.spec import Preset, Resize, Strategy

SIZE = ImageSize.square(224)

FILL = (123, 116, 103)


def reference(image: NDArray[np.uint8], size: int, how: Resize) -> NDArray[np.uint8]:
    """`PrismaticImageProcessor.apply_transform`, step by step, on a PIL image."""
    from torchvision.transforms import functional as tvf
    from torchvision.transforms.functional import InterpolationMode

    picture = PilImage.fromarray(image)
    if how.strategy == "letterbox":
        longer = max(picture.size)
        across, down = int((longer - picture.size[0]) / 2), int((longer - picture.size[1]) / 2)
        picture = tvf.pad(picture, [across, down, across, down], fill=how.fill, padding_mode="constant")
    target = [size, size] if how.strategy == "resize-naive" else [size]
    picture = tvf.resize(picture, target, InterpolationMode(how.interpolation))
    return np.asarray(tvf.center_crop(picture, [size, size]))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("strategy", ["resize-naive", "letterbox", "resize-crop"])
@pytest.mark.parametrize("shape", [(480, 640), (640, 479), (144, 256), (301, 300), (224, 224), (100, 101)])
def test_every_strategy_is_torchvisions_to_one_level(
    timm: ModuleType,
    photographs: list[NDArray[np.uint8]],
    strategy: Strategy,
    interpolation: str,
    shape: tuple[int, int],
) -> None:
    how = Resize(strategy=strategy, interpolation=interpolation, fill=FILL)  # type: ignore[arg-type]
    for photograph in photographs[:3]:
        image = np.ascontiguousarray(photograph[: shape[0], : shape[1]])
        ours = resize(image, SIZE, how).permute(1, 2, 0).numpy().astype(int)
        difference = np.abs(ours - reference(image, 224, how).astype(int))
        assert difference.max() <= (2 if min(shape) < 224 else 1)  # where it enlarges, two roundings may add up
        assert difference.mean() <= 0.05


@pytest.mark.parametrize("shape", [(4000, 64), (2000, 16), (16_384, 128), (1280, 720), (64, 4000), (480, 640)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_resize_is_pils_width_first_at_every_shape(shape: tuple[int, int], interpolation: str) -> None:
    """Pillow up to 11 always resizes the width first; from 12 on the height of tall images, which rounds otherwise."""
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    method = getattr(PilImage, interpolation.upper())
    narrow = PilImage.fromarray(image).resize((224, shape[0]), method)
    expected = np.asarray(narrow.resize((224, 224), method)).astype(int)
    found = resize(image, SIZE, Resize(interpolation=interpolation)).permute(1, 2, 0).numpy()  # type: ignore[arg-type]
    assert np.abs(found - expected).max() <= 1


def test_the_letterboxs_border_has_the_fill_and_the_picture_its_proportions() -> None:
    image = np.full((100, 200, 3), 255, np.uint8)
    square = resize(image, SIZE, Resize(strategy="letterbox", fill=FILL)).permute(1, 2, 0).numpy()
    assert (square[:50] == FILL).all()
    assert (square[-50:] == FILL).all()
    assert (square[60:164] == 255).all()


def letterboxed(*fills: tuple[int, int, int]) -> Preset:
    preset = get_preset("dinosiglip-224")
    encoders = zip(preset.encoders, fills, strict=True)
    return replace(
        preset,
        encoders=tuple(replace(spec, resize=Resize(strategy="letterbox", fill=fill)) for spec, fill in encoders),
    )


def test_encoders_with_borders_of_their_own_get_stacks_of_their_own() -> None:
    """As native Prismatic letterboxes: each encoder's border is its own mean."""
    image = np.zeros((100, 200, 3), np.uint8)
    dinov2, siglip = Preprocessor(letterboxed(FILL, (127, 127, 127)))([image])
    assert dinov2.shape == siglip.shape == (1, 3, 224, 224)
    mean, std = torch.tensor((0.484375, 0.455078125, 0.40625)), torch.tensor((0.228515625, 0.2236328125, 0.224609375))
    torch.testing.assert_close(dinov2[0, :, 0, 0], (torch.tensor(FILL) / 255 - mean) / std)
    torch.testing.assert_close(siglip[0, :, 0, 0], torch.full((3,), (127 / 255 - 0.5) / 0.5))
    (together,) = Preprocessor(letterboxed(FILL, FILL))([image])
    assert together.shape == (1, 6, 224, 224)


def test_pixels_for_an_engine_that_normalizes_have_the_borders_too() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    dinov2, siglip = Preprocessor(letterboxed(FILL, (127, 127, 127))).pixels([image])
    assert dinov2.dtype == torch.uint8
    assert dinov2[0, :, 0, 0].tolist() == list(FILL)
    assert siglip[0, :, 0, 0].tolist() == [127, 127, 127]
    assert not dinov2[0, :, 112].any()


def test_the_id_tells_resizes_apart() -> None:
    ids = {preprocessing_id(preset) for preset in (get_preset("dinosiglip-224"), letterboxed(FILL, FILL))}
    assert len(ids) == 2
    assert any("letterbox:bicubic-antialias:uint8:fill=123,116,103|" in name for name in ids)
