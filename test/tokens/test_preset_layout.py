"""Whose rows and which columns the outputs of a preset have; without torch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omnivla_vision.network.outputs import WHOLE_GRID, Output, PoolingError, UnknownPoolingError, get_pooling
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.spec import ClassTokenError, Preset
from omnivla_vision.network.with_pooling import PrescribedOutputsError, with_pooling
from omnivla_vision.tokens.layout import Segment
from omnivla_vision.tokens.preset_layout import ProjectedOutputError, token_layout

SMALL = get_preset("small")  # two encoders, 16x16
PRESENT, PAST = ("left", "right", "goal"), ("t-1f", "t-2f")


def pooled(*outputs: Output, preset: Preset = SMALL) -> Preset:
    return replace(preset, outputs=outputs)


def test_one_output_is_described_as_ever() -> None:
    layout = token_layout(SMALL, PRESENT, None)
    assert (layout.rows, layout.width, layout.shape, layout.elements) == (768, 1152, (768, 1152), 768 * 1152)
    assert (layout.image_names, layout.tokens_per_image, layout.grid) == (PRESENT, 256, (16, 16))
    assert layout.segments == (Segment("dinov2", 384), Segment("siglip", 768))


def test_whose_rows_an_output_has() -> None:
    layout = token_layout(
        pooled(
            Output("fine", get_pooling("8x8"), "present"),
            Output("coarse", get_pooling("2x2"), "all"),
            Output("past", get_pooling("1x1"), "past"),
        ),
        PRESENT,
        None,
        PAST,
    )
    fine, coarse, past = layout.outputs
    assert [output.image_names for output in layout.outputs] == [PRESENT, ("left", "right", *PAST, "goal"), PAST]
    assert (fine.shape, coarse.shape, past.shape) == ((3, 64, 1152), (5, 4, 1152), (2, 1, 1152))
    assert layout.shape == (3 * 64 + 5 * 4 + 2, 1152)
    assert (layout.rows, layout.grid, layout.image_names) == (192, (8, 8), PRESENT)  # the first's
    without_goal = token_layout(pooled(Output("all")), ("left",), None, PAST)
    assert without_goal.image_names == ("left", *PAST)


def test_columns_of_shuffled_and_class_tokens() -> None:
    shuffle = Output("tokens", get_pooling("shuffle:2"))
    two = token_layout(pooled(shuffle), PRESENT, None)
    assert two.segments == 4 * (Segment("dinov2", 384), Segment("siglip", 768))
    one = token_layout(pooled(shuffle, preset=get_preset("siglip-224")), PRESENT, None)
    assert one.segments == (Segment("siglip", 4 * 1152),)
    dinov2 = get_preset("dinov2-b-224").encoders[0]
    preset = Preset(
        name="class",
        encoders=(replace(dinov2, class_output=True),),
        outputs=(Output("tokens"), Output("class", get_pooling("class")), Output("cells", get_pooling("shuffle:4"))),
    )
    layout = token_layout(preset, ("current",), None)
    assert layout.outputs[1].segments == (Segment("dinov2", 768),)
    assert layout.shape == (layout.elements,) == (256 * 768 + 768 + 16 * 16 * 768,)


def test_projected_outputs() -> None:
    preset = pooled(Output("fine", get_pooling("8x8")), Output("coarse", get_pooling("2x2")))
    layout = token_layout(preset, ("current",), 4096)
    assert (layout.space, layout.shape) == ("projected", (68, 4096))
    assert all(output.segments == (Segment("projector", 4096),) for output in layout.outputs)
    (dinov2, siglip) = SMALL.encoders
    giving = replace(SMALL, encoders=(replace(dinov2, class_output=True), siglip))
    for pooling in ("class", "shuffle:2"):
        odd = pooled(Output("odd", get_pooling(pooling)), preset=giving)
        with pytest.raises(ProjectedOutputError, match=rf"found output 'odd' of preset small, pooled {pooling}, in pr"):
            token_layout(odd, ("current",), 4096)


def test_class_tokens_that_nobody_gives() -> None:
    with pytest.raises(ClassTokenError, match=r"preset small: found output tokens of class tokens; expected an enc"):
        with_pooling(SMALL, "class")


def test_a_grid_that_does_not_pool() -> None:
    with pytest.raises(PoolingError, match=r"found pooling 17x2 of 16x16 patches"):
        pooled(Output("tokens", get_pooling("17x2")))


def test_the_users_pooling() -> None:
    assert with_pooling(SMALL, "") is SMALL
    assert with_pooling(SMALL, "none").outputs == WHOLE_GRID
    assert with_pooling(SMALL, "8x8").outputs == (Output("tokens", get_pooling("8x8")),)
    with pytest.raises(UnknownPoolingError):
        with_pooling(SMALL, "8")
    with pytest.raises(PoolingError, match=r"found pooling shuffle:3 of 16x16 patches"):
        with_pooling(SMALL, "shuffle:3")
    prescribed = pooled(Output("fine", get_pooling("8x8")), Output("coarse", get_pooling("2x2")))
    with pytest.raises(PrescribedOutputsError, match=r"4x4 for preset small.*prescribed: fine 8x8, coarse 2x2; leave"):
        with_pooling(prescribed, "4x4")
