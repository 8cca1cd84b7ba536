"""Position embeddings for another input size than the one they were trained at, resampled as timm does it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.checkpoint.stored import Source, byte_view


@dataclass(frozen=True, kw_only=True)
class ResampledPositions:
    """[1, prefix + old grid^2, width] -> [1, prefix + grid^2, width]: antialiased bicubic, in float32; prefix kept."""

    source: Source
    grid: int
    prefix_tokens: int

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
        return (1, self.prefix_tokens + self.grid**2, self.source.shape[2])

    @property
    def stored_grid(self) -> int:
        """Patches per side in the file; the rest of a division by rows that are not square is noticed by `resample`."""
        return math.isqrt(self.source.shape[1] - self.prefix_tokens)

    def read(self, consume: Callable[[memoryview], None]) -> Tensor:
        """See `Source`."""
        stored = self.source.read(lambda _: None)
        prefix, patches = stored[:, : self.prefix_tokens], stored[:, self.prefix_tokens :]
        picture = patches.float().reshape(1, self.stored_grid, self.stored_grid, -1).permute(0, 3, 1, 2)
        resampled = F.interpolate(picture, size=(self.grid, self.grid), mode="bicubic", antialias=True)
        rows = resampled.permute(0, 2, 3, 1).reshape(1, self.grid**2, -1).to(self.dtype)
        result = torch.cat([prefix, rows], dim=1)
        consume(byte_view(result))
        return result


def resample(positions: Source, *, grid: int, prefix_tokens: int) -> Source:
    """`positions` for a grid of `grid` x `grid` patches; itself if it is of that grid already, or of no square one."""
    patches = positions.shape[1] - prefix_tokens if len(positions.shape) == 3 else 0
    if patches <= 0 or patches == grid**2 or math.isqrt(patches) ** 2 != patches:
        return positions
    return ResampledPositions(source=positions, grid=grid, prefix_tokens=prefix_tokens)
