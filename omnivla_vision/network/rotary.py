"""Rotary positions as DINOv3 has them: queries and keys of a patch are turned by angles that grow with its place."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from omnivla_vision.network.spec import EncoderSpec


class Rotary(nn.Module):
    """Turns [..., T, head dimension]. Class and register tokens have no place, and stay as they are.

    The tables are no weights: no checkpoint has them. They are float32 in networks of every precision, as in timm,
    because half a bit of an angle's cosine is lost in every block anew.
    """

    sin: Tensor
    cos: Tensor

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self._spec = spec
        self._set(torch.device("cpu"))  # real memory also in a network on the meta device, whose weights come later

    def forward(self, x: Tensor) -> Tensor:
        """The result has the dtype of `x`; between, it is float32."""
        first, second = x.chunk(2, dim=-1)
        return (x * self.cos + torch.cat([-second, first], dim=-1) * self.sin).to(x.dtype)

    def _set(self, device: torch.device) -> None:
        for name, table in zip(("sin", "cos"), rotary_tables(self._spec), strict=True):
            self.register_buffer(name, table.to(device), persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> Rotary:
        super()._apply(fn, recurse)
        if self.cos.dtype != torch.float32:
            self._set(self.cos.device)
        return self


def rotary_tables(spec: EncoderSpec) -> tuple[Tensor, Tensor]:
    """Sines and cosines, float32 [T, head dimension] each, on the CPU.

    A patch's centre has two coordinates from -1 to 1, whatever the image's proportions, rows first. Each is turned by
    a quarter of the head dimension of periods from 1 to (nearly) `rope_temperature`; a pair to be rotated lies half a
    head apart. The source is `RotaryEmbeddingDinoV3` of timm, whose periods are float32; Meta's own files hold them
    rounded to bfloat16.
    """
    if spec.rope_temperature is None:
        raise ValueError(f"{spec.timm_id} has position embeddings")
    quarter = spec.width // spec.heads // 4
    periods = spec.rope_temperature ** (torch.arange(quarter, dtype=torch.float32, device="cpu") / quarter)
    centres = [(torch.arange(side, dtype=torch.float32, device="cpu") + 0.5) / side * 2 - 1 for side in spec.grid]
    places = torch.cartesian_prod(*centres)  # [patches, 2]
    angles = (2 * math.pi * places[:, :, None] / periods).flatten(1).repeat(1, 2)
    angles = torch.cat([torch.zeros(spec.prefix_tokens, angles.shape[1], device="cpu"), angles])
    return angles.sin(), angles.cos()
