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
    """Tokens of one frame, in one or several outputs; in each, those of the cameras' images, then the goal's.

    Without a goal its rows are zeros, in projected space too, and `goal` is None.

    Attributes:
        outputs: for each of the layout's outputs float32 blocks [rows, width] that follow one another, not yet joined:
            who packs them need not join them first.
        fused_blocks: every patch of the cameras' images and of the goal, before pooling and projector, the same way.
        past_stamps_ns: for each of the layout's past images; 0 where there is none, or where images have no stamps.
        past_valid: whether there is one; where not, its rows are zeros.
        stage_ms: the milliseconds of each stage.
    """

    outputs: tuple[tuple[Tensor, ...], ...]
    fused_blocks: tuple[Tensor, ...]
    layout: TokenLayout
    goal: KnownGoal | None
    provenance: Provenance
    past_stamps_ns: tuple[int, ...] = ()
    past_valid: tuple[bool, ...] = ()
    stage_ms: dict[str, float] = field(default_factory=dict)

    @property
    def blocks(self) -> tuple[Tensor, ...]:
        """Those of all outputs, in the order of a message's data."""
        return tuple(block for blocks in self.outputs for block in blocks)

    @property
    def tokens(self) -> Tensor:
        """float32 [layout.rows, layout.width], of the first output; joined anew each time."""
        return torch.cat(self.outputs[0])

    @property
    def by_name(self) -> dict[str, Tensor]:
        """Every output's tokens, float32 [images, tokens, width]; joined anew each time."""
        return {
            output.name: torch.cat(blocks).view(output.shape)
            for output, blocks in zip(self.layout.outputs, self.outputs, strict=True)
        }

    @property
    def fused(self) -> Tensor:
        """float32 [images * patches, width before the projector]; joined anew each time."""
        return torch.cat(self.fused_blocks)
