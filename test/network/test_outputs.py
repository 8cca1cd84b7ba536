"""Poolings by name, and what they make of a grid."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
import torch
from torch.nn import functional as F

from omnivla_vision.network.features import pool
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.outputs import PoolingError, UnknownPoolingError, get_pooling


@pytest.mark.parametrize("name", ["none", "8x8", "2x3", "shuffle:4", "padded-shuffle:2", "class"])
def test_a_pooling_is_what_its_name_says(name: str) -> None:
    assert str(get_pooling(name)) == name


@pytest.mark.parametrize("name", ["", "8", "0x8", "8x", "shuffle:0", "shuffle", "max", "8x8x8", "-1x2"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownPoolingError, match="expected none, ROWSxCOLUMNS"):
        get_pooling(name)


def test_an_average_takes_whole_cells() -> None:
    grid = Grid(4, 6)
    tokens = torch.arange(24.0).reshape(1, 24, 1)
    pooled = pool(tokens, grid, get_pooling("2x3"))
    cells = tokens.reshape(2, 2, 3, 2).mean(dim=(1, 3)).reshape(1, 6, 1)
    assert torch.equal(pooled, cells)


@pytest.mark.parametrize("grid", [Grid(16, 16), Grid(24, 24), Grid(27, 27), Grid(12, 18)], ids=str)
@pytest.mark.parametrize("name", ["2x2", "8x8", "4x6", "1x1"])
def test_an_average_is_torchs(grid: Grid, name: str) -> None:
    """Whether the cells are of one size or overlap, and also where features have outliers, as real ones do."""
    tokens = torch.randn(2, grid.tokens, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1, 1, 9, 99, 0.1]
    )
    picture = tokens.transpose(1, 2).reshape(2, 5, *grid)
    expected = F.adaptive_avg_pool2d(picture, get_pooling(name).grid(grid)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(pool(tokens, grid, get_pooling(name)), expected, rtol=1e-5, atol=1e-5)


def test_a_shuffle_puts_neighbours_side_by_side() -> None:
    tokens = torch.arange(8.0).reshape(1, 8, 1)  # 2 rows of 4
    assert pool(tokens, Grid(2, 4), get_pooling("shuffle:2")).tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7]]]


def test_a_padded_shuffle_puts_zeros_behind_the_last_row_and_column() -> None:
    tokens = torch.arange(1.0, 7.0).reshape(1, 6, 1)  # 2 rows of 3
    pooling = get_pooling("padded-shuffle:2")
    assert pooling.grid(Grid(2, 3)) == (1, 2)
    assert pool(tokens, Grid(2, 3), pooling).tolist() == [[[1, 2, 4, 5], [3, 0, 6, 0]]]
    assert torch.equal(
        pool(tokens[:, :4], Grid(2, 2), pooling), pool(tokens[:, :4], Grid(2, 2), get_pooling("shuffle:2"))
    )


def test_no_pooling_changes_nothing() -> None:
    tokens = torch.rand(2, 6, 3)
    assert pool(tokens, Grid(2, 3), get_pooling("none")) is tokens


@pytest.mark.parametrize(
    ("name", "sentence"), [("17x8", "no more rows or columns"), ("8x17", "no more"), ("shuffle:3", "divides both")]
)
def test_a_grid_that_does_not_pool_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(PoolingError, match=f"found pooling {name} of 16x16 patches; .*{sentence}"):
        get_pooling(name).grid(Grid(16, 16))
