"""The goal image: its identity by content, and its tokens, computed once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A goal image. `rgb` is uint8 [H, W, 3]; `stamp_ns` the stamp of the message that first brought it."""

    rgb: Image
    stamp_ns: int = 0
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", content_id(self.rgb))


@dataclass(frozen=True, kw_only=True)
class EncodedGoal:
    """A goal with its tokens, [tokens_per_image, width], and these before the projector."""

    goal: Goal
    fused: Tensor
    tokens: Tensor


def content_id(rgb: Image) -> str:
    """SHA-256, in hexadecimal, over an RGB image's size and pixels: the same picture is the same goal."""
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}:".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()
