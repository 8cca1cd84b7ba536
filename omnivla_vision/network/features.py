"""From the encoders' features, which an engine returns, to tokens: one grid, side by side, pooled. In float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.network.grid import Grid
from omnivla_vision.network.outputs import Pooling
from omnivla_vision.network.spec import Preset


@dataclass(frozen=True, kw_only=True)
class Features:
    """Of a batch of images.

    Attributes:
        patches: float32 [B, preset.tokens_per_image, preset.width], the encoders' segments in the preset's order.
        class_tokens: float32 [B, 1, widths of the encoders that give theirs]; None if none does.
        grid: of the patches.
    """

    patches: Tensor
    class_tokens: Tensor | None
    grid: Grid

    def pool(self, pooling: Pooling) -> Tensor:
        """[B, tokens, width] of one output.

        Raises:
            PoolingError: the grid does not pool like this.
        """
        if pooling.kind == "class":
            assert self.class_tokens is not None  # the preset refuses an output of tokens that no encoder gives
            return self.class_tokens
        return pool(self.patches, self.grid, pooling)


def fuse(parts: Sequence[Tensor], preset: Preset) -> Features:
    """Bring the encoders' features to the preset's grid, and put them side by side.

    Args:
        parts: one float32 [B, rows, width] per encoder, in the preset's order; where an encoder gives its class token
            it is the first row.
        preset: of these encoders.
    """
    patches, class_tokens = [], []
    for part, spec in zip(parts, preset.encoders, strict=True):
        first = int(spec.class_output)
        if first:
            class_tokens.append(part[:, :1])
        patches.append(_to_grid(part[:, first:], spec.grid, preset.grid))
    return Features(
        patches=torch.cat(patches, dim=-1),
        class_tokens=torch.cat(class_tokens, dim=-1) if class_tokens else None,
        grid=preset.grid,
    )


def pool(tokens: Tensor, grid: Grid, pooling: Pooling) -> Tensor:
    """[B, grid.tokens, width] patches -> [B, tokens, width of a pooled one].

    A pixel shuffle puts the features of a token's patches side by side in row order, as SmolVLM's `pixel_shuffle` does.

    Raises:
        PoolingError: the grid does not pool like this.
    """
    pooled = pooling.grid(grid)
    if pooling.kind == "average":
        return _to_grid(tokens, grid, pooled)
    if pooling.kind == "shuffle":
        batch, _, width = tokens.shape
        below, right = pooled.height * pooling.rows - grid.height, pooled.width * pooling.columns - grid.width
        picture = tokens.unflatten(1, grid)
        if below or right:
            picture = F.pad(picture, (0, 0, 0, right, 0, below))
        blocks = picture.reshape(batch, pooled.height, pooling.rows, pooled.width, pooling.columns, width)
        return blocks.transpose(2, 3).reshape(batch, pooled.tokens, pooling.rows * pooling.columns * width)
    return tokens


def _to_grid(tokens: Tensor, grid: Grid, to: Grid) -> Tensor:
    """Adaptive average pooling, of rows and then of columns: torch's to a rounding of float32, but faster."""
    if grid == to:
        return tokens
    rows = _averages(grid.height, to.height) @ tokens.unflatten(1, grid).flatten(2)
    return (_averages(grid.width, to.width) @ rows.unflatten(2, (grid.width, -1))).flatten(1, 2)


@lru_cache
def _averages(places: int, cells: int) -> Tensor:
    """[cells, places]: what each place gives to each cell; cells as torch's adaptive pooling cuts them."""
    weights = torch.zeros(cells, places)
    for cell in range(cells):
        first, end = cell * places // cells, -(-(cell + 1) * places // cells)
        weights[cell, first:end] = 1 / (end - first)
    return weights
