"""The goal image: its identity by content, and its tokens, computed once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class KnownGoal:
    """What tells one goal from another; its picture need not be at hand.

    Attributes:
        id: see `content_id`.
        height, width: of the picture, in pixels.
        stamp_ns: of the message that first brought it; 0 if it came from a file.
    """

    id: str
    height: int
    width: int
    stamp_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Goal(KnownGoal):
    """A goal image; `rgb` is uint8 [H, W, 3], and the rest follows from it."""

    rgb: Image
    id: str = field(init=False)
    height: int = field(init=False)
    width: int = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.rgb.shape[:2]
        for name, value in (("id", content_id(self.rgb)), ("height", height), ("width", width)):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class EncodedGoal:
    """A goal with its tokens.

    Attributes:
        fused: every patch, [patches, width], before pooling and projector.
        class_tokens: [1, 1, widths of the encoders that give theirs]; None if none does.
        outputs: [tokens, width] for each of the encoder's outputs.
    """

    goal: KnownGoal
    fused: Tensor
    class_tokens: Tensor | None
    outputs: tuple[Tensor, ...]


def content_id(rgb: Image) -> str:
    """SHA-256, in hexadecimal, over an RGB image's size and pixels: the same picture is the same goal."""
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}:".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()
