"""Regions and masks on pixels, and mask files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch

from omnivla_vision.goal import Goal
from omnivla_vision.images.image_path import follow
from omnivla_vision.images.mask_file import AmbiguousMaskError, MaskFileError, read_mask
from omnivla_vision.images.opencv import fill
from omnivla_vision.images.preprocess import Preprocessor, preprocess
from omnivla_vision.images.raw import ImageShapeError
from omnivla_vision.images.rgb import NotAnRgbImageError
from omnivla_vision.images.view import MaskSizeError, look
from omnivla_vision.loading import EncoderOptions, encoder_of
from omnivla_vision.network.image_paths import IMAGE_PATHS
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.region import Region
from omnivla_vision.network.views import EverythingHiddenError, ImageNameError, Mask, View, Views
from omnivla_vision.weights import random_weights
from test.encoders import random_encoder
from test.presets import shallow

Image = NDArray[np.uint8]
MEAN = (123, 116, 103)
REGION = Region(x=0.25, width=0.5, height=0.75)


@pytest.fixture
def image() -> Image:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture
def mask() -> Mask:
    """Hides the lower left corner, as an arm would."""
    hidden = np.zeros((48, 64), bool)
    hidden[30:, :20] = True
    return Mask(hidden=hidden)


def test_a_region_is_a_view_and_a_mask_copies_only_what_it_leaves(image: Image, mask: Mask) -> None:
    cut = look(image, View(region=REGION), MEAN)
    np.testing.assert_array_equal(cut, image[:36, 16:48])
    assert np.shares_memory(cut, image)
    before = image.copy()
    both = look(image, View(region=REGION, mask=mask), MEAN)
    expected = before[:36, 16:48].copy()
    expected[30:, :4] = MEAN
    np.testing.assert_array_equal(both, expected)
    np.testing.assert_array_equal(image, before)
    assert np.shares_memory(look(image, View(), MEAN), image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2), (500, 333), (3, 16_384), (16_384, 3)])
def test_every_shape_is_filled_where_the_mask_says(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    picture, where = rng.integers(0, 256, (*shape, 3), np.uint8), rng.random(shape) < 0.5
    for some in (where, ~where, np.ones(shape, bool)):
        expected, found = picture.copy(), picture.copy()
        expected[some] = MEAN
        fill(found, some, MEAN)
        np.testing.assert_array_equal(found, expected)
    # A part of a larger mask, whose rows do not follow one another in memory.
    large = np.zeros((shape[0], shape[1] + 5), bool)
    large[:, 2:-3] = where
    expected, found = picture.copy(), picture.copy()
    expected[where] = MEAN
    fill(found, large[:, 2:-3], MEAN)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("path", IMAGE_PATHS.values(), ids=list(IMAGE_PATHS))
def test_an_image_path_starts_from_what_is_left(path, image: Image) -> None:
    cut = look(image, View(region=REGION), MEAN)
    np.testing.assert_array_equal(follow(cut, path), follow(image[:36, 16:48].copy(), path))
    preset = replace(get_preset("small"), image_path=path)
    found = Preprocessor(replace(preset, views=Views(regions=(("", REGION),)))).pixels([image])
    expected = Preprocessor(preset).pixels([image[:36, 16:48].copy()])
    assert all(map(torch.equal, found, expected))


def test_what_is_hidden_does_not_count_and_is_nearly_zero_for_both_encoders(image: Image, mask: Mask) -> None:
    preset = replace(get_preset("dinosiglip-224"), views=Views(masks=(("", mask),)))
    other = image.copy()
    other[mask.hidden] = 255 - other[mask.hidden]
    (first,), (second,) = Preprocessor(preset)([image]), Preprocessor(preset)([other])
    assert torch.equal(first, second)
    inside = first[0, :, 170:, :60]  # bicubic reaches two pixels, that is nine of these, beyond an edge
    assert inside[:3].abs().max() < 0.02
    assert inside[3:].abs().max() < 0.2


def test_another_size_than_the_masks(image: Image, mask: Mask) -> None:
    with pytest.raises(MaskSizeError, match=r"found an image of 32x24 pixels; expected 64x48, as its mask has; give a"):
        look(image[:24, :32], View(mask=mask), MEAN)
    with pytest.raises(MaskSizeError):
        look(image.transpose(1, 0, 2), View(mask=mask), MEAN)


def test_what_is_no_image_is_refused_before_and_what_is_too_narrow_after() -> None:
    with pytest.raises(NotAnRgbImageError):
        look(np.zeros((4, 4), np.uint8), View(), MEAN)
    preset = replace(get_preset("small"), views=Views(regions=(("", Region(height=0.001)),)))
    with pytest.raises(ImageShapeError, match="640x1"):
        Preprocessor(preset).pixels([np.zeros((480, 640, 3), np.uint8)])


def test_each_image_is_treated_by_its_name(image: Image, mask: Mask) -> None:
    plain = get_preset("small")
    views = replace(plain, views=Views(regions=(("goal", REGION),), masks=(("current", mask),)))
    of_plain, of_views = Preprocessor(plain), Preprocessor(views)
    with pytest.raises(ImageNameError):
        of_views([image])
    masked = look(image, View(mask=mask), MEAN)
    for name, seen in (("current", masked), ("goal", image[:36, 16:48].copy()), ("other", image)):
        assert all(map(torch.equal, of_views([image], [name]), of_plain([seen])))
    pair = preprocess(image, image, views)[0]
    assert torch.equal(pair, of_views([image, image], ["current", "goal"])[0].flatten(0, 1).unsqueeze(0))


@pytest.mark.parametrize("name", ["", "current", "goal"])
def test_the_encoder_looks_at_the_goal_too_unless_told_otherwise(image: Image, mask: Mask, name: str) -> None:
    preset = shallow("small", depth=2)
    masked = look(image, View(mask=mask), MEAN)
    encoder, plain = random_encoder(replace(preset, views=Views(masks=((name, mask),)))), random_encoder(preset)
    encoder.warm_up()
    encoder.set_goal(Goal(rgb=image))
    current, goal = encoder.encode(image).tokens.split(256)
    whole, without = plain.encode(image).tokens[:256], plain.encode(masked).tokens[:256]
    assert torch.equal(current, without if name in ("", "current") else whole)
    assert torch.equal(goal, without if name in ("", "goal") else whole)
    assert not torch.equal(whole, without)


def test_a_name_that_no_image_has_is_refused_before_an_engine_is_built(mask: Mask) -> None:
    preset = replace(get_preset("small"), views=Views(masks=(("wrist", mask),)))
    weights = replace(random_weights(preset), load=lambda: pytest.fail("the weights were read"))
    with pytest.raises(ImageNameError, match="found a mask for 'wrist'; expected a camera's name"):
        encoder_of(weights, EncoderOptions(engine="eager"))
    preset = replace(get_preset("small"), views=Views(masks=(("goal", mask),)))
    with pytest.raises(ImageNameError, match="found a mask for 'goal'"):
        encoder_of(replace(weights, preset=preset), EncoderOptions(engine="eager", takes_goal=False))


def test_a_goal_of_another_size_is_refused_and_the_one_before_stays(image: Image, mask: Mask) -> None:
    encoder = random_encoder(replace(shallow("small", depth=2), views=Views(masks=(("", mask),))))
    encoder.set_goal(Goal(rgb=image))
    before = encoder.encode(image).tokens
    with pytest.raises(MaskSizeError):
        encoder.set_goal(Goal(rgb=image[:40]))
    assert torch.equal(encoder.encode(image).tokens, before)


def grey(kind: str) -> Image:
    pixels = np.zeros((48, 64), np.uint8)
    pixels[30:, :20] = 255
    spread = np.repeat(pixels[..., None], 3, axis=2)
    opaque = np.full((48, 64, 1), 255, np.uint8)
    kinds: dict[str, Callable[[], NDArray[np.integer]]] = {
        "grey": lambda: pixels,
        "colour": lambda: spread,
        "opaque": lambda: np.concatenate([spread, opaque], axis=2),
        "16 bits": lambda: pixels.astype(np.uint16) * 257,
    }
    return kinds[kind]()  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["grey", "colour", "opaque", "16 bits", "1 bit"])
def test_the_same_mask_however_it_is_stored(tmp_path: Path, mask: Mask, kind: str) -> None:
    parameters = [cv2.IMWRITE_PNG_BILEVEL, 1] if kind == "1 bit" else []
    cv2.imwrite(str(tmp_path / "m.png"), grey("grey" if kind == "1 bit" else kind), parameters)
    assert read_mask(tmp_path / "m.png") == mask


def test_masks_that_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.png"

    def refuse(error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            read_mask(file)

    refuse(MaskFileError, r"found no mask .*m.png that can be read \(No such file")
    soft = grey("grey")
    soft[29, 7] = 128
    cv2.imwrite(str(file), soft)
    refuse(AmbiguousMaskError, r"found 1 pixels that are neither .* the first one \[128\] at \(7, 29\); expected white")
    coloured = grey("colour")
    coloured[3, 4] = (0, 0, 255)
    cv2.imwrite(str(file), coloured)
    refuse(AmbiguousMaskError, r"\[0, 0, 255\] at \(4, 3\)")
    clear = grey("opaque")
    clear[0, 0, 3] = 0
    cv2.imwrite(str(file), clear)
    refuse(AmbiguousMaskError, r"transparent, the first one \[0, 0, 0, 0\] at \(0, 0\)")
    cv2.imwrite(str(file), np.full((4, 4), 255, np.uint8))
    refuse(EverythingHiddenError, "hides all of them")
    whole = cv2.imencode(".png", grey("grey"))[1].tobytes()
    file.write_bytes(whole[:60])
    refuse(MaskFileError, r"m\.png: found .* cut off")
    file.write_bytes(cv2.imencode(".jpg", grey("grey"))[1].tobytes())
    refuse(MaskFileError, r"found another kind of file; expected a PNG")
    cv2.imwrite(str(file), np.zeros((40, 60), np.uint8))
    with pytest.raises(MaskFileError, match="60x40 pixels; expected at most 100"):
        read_mask(file, max_pixels=100)
