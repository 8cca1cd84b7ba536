"""Image paths against Pillow, and against what TensorFlow, JAX and openpi made once (reference/make.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

pytest.importorskip("torch")

import torch

from omnivla_vision.goal import Goal
from omnivla_vision.images.files import read_rgb
from omnivla_vision.images.image_path import follow
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.images.raw import ImageShapeError
from omnivla_vision.images.rgb import NotAnRgbImageError
from omnivla_vision.network.image_paths import (
    IMAGE_PATHS,
    CropAndBack,
    Filter,
    ImagePath,
    JpegRoundTrip,
    ResizeTo,
    get_image_path,
)
from omnivla_vision.network.presets import get_preset
from omnivla_vision.resources import resource_path
from test.encoders import random_encoder
from test.images.reference.make import FILE, cases, kept
from test.presets import shallow

Image = NDArray[np.uint8]


def squash(kind: Filter, *, antialias: bool = True) -> ImagePath:
    return ImagePath(name="", steps=(ResizeTo(size=224, filter=kind, antialias=antialias),))


# The reference's names -> our paths, and how far apart they may be, in levels of uint8.
PATHS = {
    "jpeg": (ImagePath(name="jpeg", steps=(JpegRoundTrip(),)), 0),
    "jpeg-444": (ImagePath(name="jpeg", steps=(JpegRoundTrip(chroma="444"),)), 0),
    "oft": (get_image_path("openvla-oft"), 1),
    "crop": (get_image_path("openvla-crop"), 0),
    "oft-crop": (get_image_path("openvla-oft-crop"), 1),
    "openpi": (get_image_path("openpi"), 1),
    "bilinear": (ImagePath(name="", steps=(ResizeTo(size=224, filter="bilinear"),)), 1),
    "bicubic": (ImagePath(name="", steps=(ResizeTo(size=224, filter="bicubic"),)), 1),
    "bilinear without antialias": (
        ImagePath(name="", steps=(ResizeTo(size=224, filter="bilinear", antialias=False),)),
        1,
    ),
}


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image]:
    names = ("room", "stream", "sunset", "gravel")
    return cases({name: read_rgb(Path(resource_path(f"resource/parity/{name}.png"))) for name in names})


@pytest.fixture(scope="module")
def reference() -> Iterator[Mapping[str, Image]]:
    with np.load(FILE) as arrays:
        yield arrays


@pytest.mark.parametrize("case", ["room", "wide", "tall", "small", "right size", "odd", "narrow", "line", "pixel"])
@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_the_policys_own_to_one_level(
    pictures: dict[str, Image], reference: Mapping[str, Image], name: str, case: str
) -> None:
    path, levels = PATHS[name]
    expected = reference[f"{name}:{case}"].astype(int)
    found = kept(f"{name}:{case}", follow(pictures[case], path)).astype(int)
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference.max() <= levels
    assert (difference > 0).mean() <= 0.02  # where the exact value lies half-way between two levels


@pytest.mark.parametrize(("name", "case"), [("oft-crop", "room"), ("openpi", "wide")])
def test_the_fused_tokens_are_those_of_the_policys_own_image(
    pictures: dict[str, Image], reference: Mapping[str, Image], name: str, case: str
) -> None:
    plain = random_encoder(shallow("small"), takes_goal=False)
    path = random_encoder(replace(shallow("small"), image_path=PATHS[name][0]), takes_goal=False)
    expected = plain.encode(reference[f"{name}:{case}"]).tokens.float()
    found = path.encode(pictures[case]).tokens.float()
    assert (found - expected).norm() <= 1e-3 * expected.norm()
    without = plain.encode(pictures[case]).tokens.float()
    assert (without - expected).norm() >= 0.05 * expected.norm()  # or the path would not matter


@pytest.mark.parametrize("shape", [(480, 640), (640, 479), (224, 224), (101, 33), (1, 40), (2, 3)])
def test_the_crop_without_tensorflow_is_pils(photographs: list[Image], shape: tuple[int, int]) -> None:
    image = np.resize(photographs[0], (*shape, 3)) if min(shape) < 4 else photographs[0][: shape[0], : shape[1]]
    height, width = image.shape[:2]
    down, across = (max(1, int(side * sqrt(0.9))) for side in (height, width))
    left, top = (width - across) // 2, (height - down) // 2
    whole = PilImage.fromarray(np.ascontiguousarray(image))
    cropped = whole.crop((left, top, left + across, top + down))
    expected = np.asarray(cropped.resize((width, height), PilImage.BILINEAR)).astype(int)
    found = follow(image, ImagePath(name="", steps=(CropAndBack(area=0.9),)))
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_the_id_begins_with_the_steps_and_all_their_numbers() -> None:
    preset = get_preset("dinosiglip-224")
    plain = Preprocessor(preset).id
    assert plain.startswith("resize-naive:bicubic-antialias:uint8|dinov2:224:")
    ids = {name: Preprocessor(replace(preset, image_path=path)).id for name, path in IMAGE_PATHS.items()}
    assert ids["openvla-oft-crop"] == (
        "unless-224(jpeg:95:420:ifast>resize:224:lanczos3-antialias:float32)>crop-and-resize:0.9:224:bilinear|" + plain
    )
    assert ids["openvla"] == ids["omnivla"] == ids["plain"] == plain
    assert len(set(ids.values())) == len(ids) - 2


def test_the_goal_takes_the_same_path(pictures: dict[str, Image]) -> None:
    encoder = random_encoder(replace(shallow("small"), image_path=get_image_path("openvla-oft-crop")))
    encoder.set_goal(Goal(rgb=pictures["room"]))
    current, goal = encoder.encode(pictures["room"]).tokens.chunk(2)
    assert torch.equal(current, goal)


def test_an_encoder_that_normalizes_and_one_that_does_not_see_the_same(pictures: dict[str, Image]) -> None:
    preset = replace(get_preset("small"), image_path=get_image_path("openvla-oft-crop"))
    preprocess = Preprocessor(preset)
    for pixels, stack in zip(preprocess.pixels([pictures["wide"]]), preprocess([pictures["wide"]]), strict=True):
        assert pixels.dtype == torch.uint8
        assert stack.shape == pixels.shape
    square = preprocess.pixels([pictures["wide"]])[0][0].permute(1, 2, 0).numpy()
    assert np.array_equal(square, follow(pictures["wide"], preset.image_path))


def test_pi0_letterboxes_behind_its_resize(pictures: dict[str, Image]) -> None:
    (pixels,) = Preprocessor(get_preset("pi0-siglip-224")).pixels([pictures["wide"]])
    rows = pixels[0].amax(dim=(0, 2)).nonzero()
    assert (int(rows.min()), int(rows.max()), len(rows)) == (49, 173, 125)  # int(240 / (427 / 224)) rows


@pytest.mark.parametrize("name", IMAGE_PATHS)
def test_every_path_takes_a_pixel_and_refuses_what_is_no_image(name: str) -> None:
    path = get_image_path(name)
    pixel = np.array([[[200, 10, 60]]], np.uint8)
    found = follow(pixel, path).reshape(-1, 3)
    assert (found.max(axis=0) > 0).all()
    with pytest.raises(NotAnRgbImageError):
        follow(np.zeros((4, 4), np.uint8), path)
    with pytest.raises(ImageShapeError):
        follow(np.zeros((1, 1000, 3), np.uint8), path)


@pytest.mark.parametrize("view", [lambda image: image[::2, 3:], lambda image: image[:, ::-1]])
@pytest.mark.parametrize("name", IMAGE_PATHS)
def test_a_view_gives_the_same_as_a_copy_and_stays_as_it_is(
    pictures: dict[str, Image], name: str, view: Callable[[Image], Image]
) -> None:
    seen = view(pictures["room"])
    seen.flags.writeable = False
    copy = seen.copy()
    assert np.array_equal(follow(seen, get_image_path(name)), follow(copy.copy(), get_image_path(name)))
    assert np.array_equal(seen, copy)
