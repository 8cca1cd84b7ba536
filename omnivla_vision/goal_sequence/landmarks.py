"""How much what the camera sees is like each goal of a sequence: coarse averages, compared in standardized channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnivla_vision.network.features import pool
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.outputs import Pooling
from omnivla_vision.tokens.channels import Channels

# The image's quarters: indifferent to a patch's exact place, and left is not right. Finer cells recognised no more of
# the sample drive; docs/node.md has the figures.
CELLS = 2
# As many nodes' averages say where the channels lie; more would only cost memory.
STATISTICS = 128


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """What is remembered of each goal to recognise it.

    Attributes:
        descriptors: float32 [goals, cells * width], see `describe`.
        mean, scale: float32 [cells * width], see `Channels`, over the sequence: of each part of the image by itself,
            because what all goals have in common there (the floor, the encoder's positions) tells none from another.
    """

    descriptors: Tensor
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, descriptors: Tensor) -> Landmarks:
        """Measure the channels of descriptors."""
        some = descriptors[:: -(-len(descriptors) // STATISTICS)]
        channels = Channels.of(some.numpy())
        mean, scale = (torch.from_numpy(values.astype(np.float32)) for values in (channels.mean, channels.scale))
        return cls(descriptors=descriptors, mean=mean, scale=scale)

    def similarities(self, descriptor: Tensor, window: Sequence[int]) -> list[float]:
        """Cosine, -1 to 1, of a frame's descriptor [cells * width] to each goal of a window.

        1 is the goal itself, 0 as much alike as any two of the sequence. With a single goal it is 0 always: there is
        nothing to tell it from.
        """
        directions = self._directions(torch.cat([descriptor[None], self.descriptors[list(window)]]))
        return [float(cosine) for cosine in directions[1:] @ directions[0]]

    def _directions(self, descriptors: Tensor) -> Tensor:
        standardized = (descriptors - self.mean) / self.scale
        return standardized / standardized.norm(dim=1, keepdim=True).clamp_min(1e-12)


def describe(patches: Tensor, grid: Grid) -> Tensor:
    """[grid.tokens, width] patches before the projector -> float32 [cells * width], averages over parts of an image."""
    pooling = Pooling("average", min(CELLS, grid.height), min(CELLS, grid.width))
    return pool(patches[None].float(), grid, pooling).flatten()
