"""Regions and masks as data: numbers, names, ids and refusals; no pixel of an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omnivla_vision.network.preprocessing_id import preprocessing_id
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.region import EmptyRegionError, Region, RegionOutsideError, RegionSyntaxError
from omnivla_vision.network.views import (
    WHOLE,
    EverythingHiddenError,
    ImageNameError,
    Mask,
    Views,
    named_entries,
)

LOWER = Region(y=0.5, height=0.5)


def mask(height: int = 4, width: int = 6, hidden: slice = slice(3, None)) -> Mask:
    pixels = np.zeros((height, width), bool)
    pixels[hidden] = True
    return Mask(hidden=pixels)


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("0,0,1,1", (480, 640), (0, 480, 0, 640)),
        ("0, 0, 1, 0.8", (480, 640), (0, 384, 0, 640)),
        ("0.1,0.2,0.7,0.3", (480, 640), (96, 240, 64, 512)),
        ("0.7,0.7,0.3,0.3", (10, 10), (7, 10, 7, 10)),
        ("0.25,0,0.5,1", (3, 2), (0, 3, 1, 2)),  # half a pixel is rounded up: columns 0.5 to 1.5
        ("0.999,0.999,0.001,0.001", (10, 10), (9, 10, 9, 10)),
        ("0.2,0.2,0.01,0.01", (1, 1), (0, 1, 0, 1)),
    ],
)
def test_edges_lie_at_the_nearest_pixels(text: str, size: tuple[int, int], expected: tuple[int, ...]) -> None:
    rows, columns = Region.parse(text).of(*size)
    assert (rows.start, rows.stop, columns.start, columns.stop) == expected


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("0,0,1", RegionSyntaxError, "found region '0,0,1'; expected four numbers x,y,width,height"),
        ("0,0,1,all", RegionSyntaxError, "expected four numbers"),
        ("0,0,0,1", EmptyRegionError, "found region 0,0,0,1, whose width is 0 and whose height is 1; expected"),
        ("0,0,1,-1", EmptyRegionError, "whose height is -1"),
        ("0.1,0,0.95,1", RegionOutsideError, "found region 0.1,0,0.95,1, which is not within the image; expected"),
        ("-0.1,0,1,1", RegionOutsideError, "not within the image"),
        ("0,0,640,400", RegionOutsideError, "for pixels, divide by width and height"),
        ("nan,0,1,1", RegionOutsideError, "not within the image"),
        ("0,0,nan,1", RegionOutsideError, "not within the image"),
        ("0,0,inf,1", RegionOutsideError, "not within the image"),
    ],
)
def test_what_is_no_region(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Region.parse(text)


def test_a_mask_that_hides_everything_is_refused_also_where_a_region_leaves_no_more() -> None:
    with pytest.raises(EverythingHiddenError, match="found a mask of 6x4 pixels that hides all of them"):
        mask(hidden=slice(None))
    lowest = Views(regions=(("front", Region(y=0.75, height=0.25)),), masks=(("", mask()),))
    with pytest.raises(EverythingHiddenError, match=r"mask for 'front' that hides all that region:0,0.75,1,0.2"):
        lowest.among(["front", "goal"])


def test_a_masks_id_is_its_content() -> None:
    assert mask().digest == mask().digest
    assert mask() == mask()
    others = [mask(hidden=slice(2, None)), mask(width=5), mask(height=6, width=4)]
    assert len({mask().digest, *(other.digest for other in others)}) == 4


def test_who_has_none_of_its_own_has_the_one_without_a_name() -> None:
    views = Views(regions=(("", LOWER), ("goal", Region())), masks=(("front", mask()),))
    assert (views.of("front").region, views.of("front").mask) == (LOWER, mask())
    assert (views.of("wrist").region, views.of("wrist").mask) == (LOWER, None)
    assert views.of("goal").region == Region()
    with pytest.raises(ImageNameError, match=r"image without a name; expected one of those .* front, goal"):
        views.of()
    with pytest.raises(ImageNameError, match=r"found a region for 'goal'; expected .* one of front, wrist, or no name"):
        views.among(["front", "wrist"])


def test_the_id_has_every_number_and_one_form_for_one_effect() -> None:
    preset = get_preset("small")
    plain = preprocessing_id(preset)

    def of(views: Views) -> str:
        return preprocessing_id(replace(preset, views=views.among(["current", "goal"])))

    both = of(Views(regions=(("", LOWER),), masks=(("", mask()),)))
    fill = "123,116,103"  # Prismatic's int(x * 255) of ImageNet's mean 0.485, 0.456, 0.406
    assert both == f"region:0,0.5,1,0.5|mask:6x4:{mask().digest}:fill={fill}|{plain}"
    assert of(WHOLE) == of(Views(regions=(("", Region()),))) == plain
    assert of(Views(regions=(("goal", LOWER), ("current", LOWER)))) == f"region:0,0.5,1,0.5|{plain}"
    assert of(Views(regions=(("", LOWER), ("goal", Region())))) == f"current=region:0,0.5,1,0.5|{plain}"
    assert of(Views(masks=(("goal", mask()),))) == f"goal=mask:6x4:{mask().digest}:fill={fill}|{plain}"
    assert replace(preset, views=Views(regions=(("", LOWER),))).network == preset


def test_entries_by_name() -> None:
    assert named_entries("") == ()
    assert named_entries(" 0,0,1,1 ") == (("", "0,0,1,1"),)
    assert named_entries("front=a.png; goal = b=c.png;") == (("front", "a.png"), ("goal", "b=c.png"))
    assert named_entries("./a=b.png; front=c.png") == (("", "./a=b.png"), ("front", "c.png"))
    for twice in ("a.png; b.png", "front=a.png; front=b.png"):
        with pytest.raises(ImageNameError, match=r"found 'a.png' and 'b.png' .*; expected one; separate"):
            named_entries(twice)
