"""Datasets of tokens: made of recordings, and read for training. Needs the extra `dataset`, which no node needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omnivla_vision.dataset.training.hindsight import Hindsight
    from omnivla_vision.dataset.training.token_dataset import TokenDataset

__all__ = ["Hindsight", "TokenDataset"]


def __getattr__(name: str) -> object:
    """Imported when they are used: what makes datasets needs no torch until it encodes, and `--help` neither."""
    if name == "Hindsight":
        from omnivla_vision.dataset.training.hindsight import Hindsight

        return Hindsight
    if name == "TokenDataset":
        from omnivla_vision.dataset.training.token_dataset import TokenDataset

        return TokenDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
