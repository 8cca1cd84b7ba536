"""The tokens of one frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from omnivla_vision.goal import KnownGoal
from omnivla_vision.tokens.layout import TokenLayout
from omnivla_vision.tokens.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class TokenSet:
    """Tokens of one frame: those of the cameras' images, then the goal's.

    Without a goal its rows are zeros, in projected space too, and `goal` is None.

    Attributes:
        blocks: float32 [rows, layout.width] each, not yet joined: who packs them need not join them first.
        fused_blocks: the same before the projector; in fused space, `blocks` themselves.
        stage_ms: the milliseconds of each stage.
    """

    blocks: tuple[Tensor, ...]
    fused_blocks: tuple[Tensor, ...]
    layout: TokenLayout
    goal: KnownGoal | None
    provenance: Provenance
    stage_ms: dict[str, float] = field(default_factory=dict)

    @property
    def tokens(self) -> Tensor:
        """float32 [layout.rows, layout.width]; joined anew each time."""
        return torch.cat(self.blocks)

    @property
    def fused(self) -> Tensor:
        """float32 [layout.rows, width before the projector]; joined anew each time."""
        return torch.cat(self.fused_blocks)
