"""Layers on oneDNN's packed weights, with the operations after a product fused into it."""
# ruff: noqa: SLF001 - the operators that torch's inductor uses for this have no public name

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnivla_vision.network.vit import Block, split_heads


class Packed(Protocol):
    """A linear layer over [..., in] whose result may pass through GELU, or be added to something, on its way out."""

    def __call__(self, x: Tensor) -> Tensor: ...
    def gelu(self, x: Tensor) -> Tensor: ...
    def add(self, x: Tensor, residual: Tensor) -> Tensor: ...


class PackedLinear(nn.Module):
    """A linear layer in the dtype of its weight, float32 or bfloat16; sums are float32 in both."""

    def __init__(self, weight: Tensor, bias: Tensor, rows: int) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        self._bias = bias

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "none")

    def gelu(self, x: Tensor) -> Tensor:
        """The layer, then the exact (erf) GELU."""
        return torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "gelu", [], "none")

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """The layer plus `residual`."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._weight, self._bias, "add")


class PackedBlock(nn.Module):
    """A folded `vit.Block` on packed layers, which add the GELU and the residual to their products by themselves.

    `dtype` is what attention is computed in.
    """

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.qkv, self.proj = cast(Packed, block.attn.qkv), cast(Packed, block.attn.proj)
        self.fc1, self.fc2 = cast(Packed, block.mlp.fc1), cast(Packed, block.mlp.fc2)
        self.heads, self.rotary = block.attn.heads, block.attn.rotary
        self.activation: Callable[[Tensor], Tensor] = getattr(block.mlp, "activation", F.gelu)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj.add(self._mix(self.qkv(self.norm1(x))), x)
        return self.fc2.add(self._widen(self.norm2(x)), x)

    def _widen(self, x: Tensor) -> Tensor:
        return self.fc1.gelu(x) if self.activation is F.gelu else self.activation(self.fc1(x))

    def _mix(self, qkv: Tensor) -> Tensor:
        """Attention over [B, T, 3 * width], the scale already in the query's weights."""
        batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        query, key, value = split_heads(qkv.to(self.dtype), self.heads, self.rotary)
        if self.dtype == torch.float32:
            mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        else:
            # At 261 tokens, torch's flash kernel for the CPU takes two and a half times as long as three plain steps.
            query, key, value = (part.reshape(batch * self.heads, tokens, -1) for part in (query, key, value))
            mixed = torch.bmm(torch.softmax(torch.bmm(query, key.transpose(1, 2)), dim=-1), value)
            mixed = mixed.reshape(batch, self.heads, tokens, -1)
        return mixed.transpose(1, 2).reshape(batch, tokens, width)
