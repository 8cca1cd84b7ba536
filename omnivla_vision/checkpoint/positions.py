"""Position embeddings for another input size than the one they were trained at, resampled as timm or DINOv2 does it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.checkpoint.stored import Source, byte_view
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.spec import EncoderSpec, PositionResize

# Its authors' guard against rounding, which shifts every position a little.
DINOV2_OFFSET = 0.1


@dataclass(frozen=True, kw_only=True)
class ResampledPositions:
    """[1, prefix + old grid^2, width] -> [1, prefix + patches, width]: bicubic, in float32; the prefix is kept.

    `EncoderSpec.position_resize` says how. DINOv2's own code scales by (grid + 0.1) / old grid, not antialiased
    (`interpolate_pos_encoding` of its models without registers).
    """

    source: Source
    grid: Grid
    prefix_tokens: int
    how: PositionResize

    @property
    def file(self) -> Path:
        """See `Source`."""
        return self.source.file

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Source`."""
        return self.source.files

    @property
    def key(self) -> str:
        """See `Source`."""
        return self.source.key

    @property
    def dtype(self) -> torch.dtype:
        """See `Source`."""
        return self.source.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Source`."""
        return (1, self.prefix_tokens + self.grid.tokens, self.source.shape[2])

    @property
    def stored_grid(self) -> Grid:
        """In the file: a square one, which `resample` looks at."""
        side = math.isqrt(self.source.shape[1] - self.prefix_tokens)
        return Grid(side, side)

    def read(self, consume: Callable[[memoryview], None]) -> Tensor:
        """See `Source`."""
        stored = self.source.read(lambda _: None)
        prefix, patches = stored[:, : self.prefix_tokens], stored[:, self.prefix_tokens :]
        picture = patches.float().unflatten(1, self.stored_grid).permute(0, 3, 1, 2)
        rows = self._resampled(picture).permute(0, 2, 3, 1).flatten(1, 2).to(self.dtype)
        result = torch.cat([prefix, rows], dim=1)
        consume(byte_view(result))
        return result

    def _resampled(self, picture: Tensor) -> Tensor:
        if self.how == "antialiased":
            return F.interpolate(picture, size=self.grid, mode="bicubic", antialias=True)
        height, width = ((new + DINOV2_OFFSET) / old for new, old in zip(self.grid, self.stored_grid, strict=True))
        return F.interpolate(picture, scale_factor=(height, width), mode="bicubic")


def resample(positions: Source, spec: EncoderSpec) -> Source:
    """`positions` for an encoder's grid; itself if it is of that grid already, or of no square one."""
    prefix_tokens = spec.prefix_tokens if spec.embed_prefix else 0
    patches = positions.shape[1] - prefix_tokens if len(positions.shape) == 3 else 0
    side = math.isqrt(max(0, patches))
    if patches <= 0 or side**2 != patches or spec.grid == (side, side):
        return positions
    return ResampledPositions(source=positions, grid=spec.grid, prefix_tokens=prefix_tokens, how=spec.position_resize)
