"""Positions at another grid than that of the weights, as timm computes them, and as DINOv2 does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file
from torch import Tensor

from omnivla_vision.checkpoint.positions import resample
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.stored import Source
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.spec import EncoderSpec

(DINOV2,) = get_preset("navdp-224").encoders
# 4x5 patches made of 6x6 by `interpolate_pos_encoding` of DINOv2, as NavDP ships it (InternRobotics/NavDP at
# cb33ff8, depth_anything_v2/dinov2.py), with torch 2.13: of `stored()`, the class token's and the first six patches'.
PUBLIC = [
    [-0.510798, 1.028272],
    [-0.582881, 0.016175],
    [-0.118997, -0.884597],
    [-0.479787, -0.808273],
    [1.801937, -0.525464],
    [1.321758, 0.31728],
    [0.407604, 0.413488],
]


def stored() -> Tensor:
    return torch.randn(1, 1 + 36, 2, generator=torch.Generator().manual_seed(11))


def source(folder: Path) -> Source:
    save_file({"pos_embed": stored()}, folder / "positions.safetensors")
    return read_header(folder / "positions.safetensors")["pos_embed"]


def of_grid(height: int, width: int, **changes: object) -> EncoderSpec:
    return replace(DINOV2, image_size=ImageSize(14 * height, 14 * width), **changes)  # type: ignore[arg-type]


def test_a_rectangle_is_timms(timm: ModuleType, tmp_path: Path) -> None:
    from timm.layers import resample_abs_pos_embed

    found = resample(source(tmp_path), of_grid(4, 5, position_resize="antialiased"))
    assert found.shape == (1, 21, 2)
    expected = resample_abs_pos_embed(stored(), [4, 5], num_prefix_tokens=1)
    assert torch.equal(found.read(lambda _: None), expected)


def test_dinov2s_way_is_its_own(tmp_path: Path) -> None:
    found = resample(source(tmp_path), of_grid(4, 5)).read(lambda _: None)
    assert found.shape == (1, 21, 2)
    assert torch.allclose(found[0, :7], torch.tensor(PUBLIC), atol=1e-5)


@pytest.mark.parametrize("grid", [(4, 9), (9, 4)])
def test_as_many_patches_in_another_shape_are_resampled(grid: tuple[int, int], tmp_path: Path) -> None:
    """6x6 and 4x9 are 36 both."""
    found = resample(source(tmp_path), of_grid(*grid))
    assert found.shape == (1, 37, 2)
    assert not torch.allclose(found.read(lambda _: None), stored())


def test_the_same_grid_is_read_as_it_is(tmp_path: Path) -> None:
    positions = source(tmp_path)
    assert resample(positions, of_grid(6, 6)) is positions
