"""What a preset may be, and what is refused when it is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omnivla_vision.network.grid import Grid
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.outputs import Output, Pooling, PoolingError
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.spec import (
    ClassTokenError,
    GridMismatchError,
    OutputNameError,
    Preset,
    RectangleError,
    Resize,
)

SMALL = get_preset("small")
UNEQUAL = get_preset("robottrack-384")


def test_a_rectangles_grid_has_its_proportions() -> None:
    (spec,) = get_preset("citywalker-350x630").encoders
    assert (str(spec.image_size), spec.grid, spec.rows) == ("350x630", (25, 45), 1 + 25 * 45)
    assert str(ImageSize.square(224)) == "224"


def test_pixels_beyond_the_last_patch_are_not_seen() -> None:
    spec = replace(SMALL.encoders[0], image_size=ImageSize(230, 384))
    assert spec.grid == (16, 27)


@pytest.mark.parametrize("strategy", ["letterbox", "resize-crop"])
def test_a_rectangle_is_only_squashed(strategy: str) -> None:
    with pytest.raises(RectangleError, match=f"found {strategy} to 350x630; expected a square"):
        replace(
            get_preset("citywalker-350x630").encoders[0],
            resize=Resize(strategy=strategy),  # type: ignore[arg-type]
        )


def test_unequal_grids_need_a_common_one() -> None:
    assert [spec.grid for spec in UNEQUAL.encoders] == [(24, 24), (27, 27)]
    assert (UNEQUAL.grid, UNEQUAL.tokens_per_image, UNEQUAL.width) == ((24, 24), 576, 1536)
    with pytest.raises(GridMismatchError, match=r"24x24 of .* and 27x27 of .*siglip_384.webli@336"):
        replace(UNEQUAL, common_grid=None)


def test_rectangles_of_unequal_grids_are_told_with_sizes_that_would_do() -> None:
    wide = tuple(
        replace(spec, image_size=ImageSize(spec.patch_size * (4 + place), spec.patch_size * 8))
        for place, spec in enumerate(SMALL.encoders)
    )
    with pytest.raises(GridMismatchError, match=r"4x8 of .* and 5x8 of .*dinov2.lvd142m@56x112\+.*@64x128"):
        replace(SMALL, encoders=wide)


def test_no_encoder_may_be_coarser_than_the_common_grid() -> None:
    with pytest.raises(PoolingError, match="found pooling 25x25 of 24x24 patches"):
        replace(UNEQUAL, common_grid=Grid(25, 25))


@pytest.mark.parametrize(
    ("outputs", "error", "message"),
    [
        ((Output("a"), Output("a", Pooling("average", 2, 2))), OutputNameError, "found outputs a, a"),
        ((), OutputNameError, r"found outputs \(none\)"),
        ((Output("a", Pooling("class")),), ClassTokenError, "found output a of class tokens; expected an encoder"),
        ((Output("a", Pooling("average", 17, 2)),), PoolingError, "found pooling 17x2 of 16x16 patches"),
        ((Output("a", Pooling("shuffle", 3, 3)),), PoolingError, "choose another, padded-shuffle:3, or an average"),
    ],
)
def test_outputs_that_cannot_be_are_refused(outputs: tuple[Output, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        replace(SMALL, outputs=outputs)


def test_a_class_token_must_be_there_to_be_given() -> None:
    with pytest.raises(ClassTokenError, match=r"siglip_256\.webli: found that its class token"):
        replace(SMALL.encoders[1], class_output=True)


def test_an_engine_depends_on_neither_outputs_nor_what_is_in_front() -> None:
    network = UNEQUAL.network
    assert isinstance(network, Preset)
    assert (network.common_grid, [output.name for output in network.outputs]) == (Grid(24, 24), ["tokens"])
