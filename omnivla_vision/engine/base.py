"""The protocol that every engine implements."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Engine(Protocol):
    """Runs a preset's backbone on preprocessed images.

    Attributes:
        name: e.g. "eager".
        precision: what the matrix products really run in, e.g. "float32".
        notice: empty, or why this is not what was asked for.
    """

    name: str
    precision: str
    notice: str

    def __call__(self, stacks: tuple[Tensor, ...]) -> Tensor:
        """Encode: one [B, 3 * encoders, S, S] per input size -> float32 [B, tokens_per_image, width]."""
        ...
