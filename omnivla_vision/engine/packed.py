"""Layers on oneDNN's packed weights, with the operations after a product fused into it."""
# ruff: noqa: SLF001 - the operators that torch's inductor uses for this have no public name

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnivla_vision.network.vit import Block

INT8_MAX = 127
UINT8_MAX = 255


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


class PackedInt8Linear(nn.Module):
    """A linear layer in int8: weights with a scale per output channel, activations with one scale per call (dynamic).

    Sums are int32; scale and bias are applied in float32.
    """

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor, rows: int, out_dtype: torch.dtype) -> None:
        super().__init__()
        self._weight = torch.ops.onednn.qlinear_prepack(weight, [rows, weight.shape[1]])
        self._scale = scale
        self._zero_point = torch.zeros(weight.shape[0], dtype=torch.int32)
        self._bias = bias
        self._out_dtype = out_dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(quantize(x), "none")

    def gelu(self, x: Tensor) -> Tensor:
        """The layer, then the exact (erf) GELU."""
        return self.multiply(quantize(x), "gelu")

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """The layer plus `residual`."""
        return self.multiply(quantize(x), "none").add_(residual)

    def multiply(self, x: Quantized, after: str) -> Tensor:
        """The layer on quantized features; `after` is "none" or "gelu"."""
        return torch.ops.onednn.qlinear_pointwise(
            x.values, x.scale, x.zero_point, self._weight, self._scale, self._zero_point, self._bias,
            1.0, 0, self._out_dtype, after, [], "none",
        )  # fmt: skip


class Quantized(NamedTuple):
    """uint8 `values` that stand for `scale * (values - zero_point)`."""

    values: Tensor
    scale: float
    zero_point: int


def quantize(x: Tensor) -> Quantized:
    """Map the range of `x`, with zero in it, onto 0..255."""
    scale, zero_point = quantization_range(x)
    # The conversion cuts decimals off, so half is added to round.
    values = x.to(torch.float32, copy=True).mul_(1 / scale).add_(zero_point + 0.5).to(torch.uint8)
    return Quantized(values, scale, zero_point)


def quantization_range(x: Tensor) -> tuple[float, int]:
    """Scale and zero point that map the values of `x`, and zero, onto 0..255: value = scale * (integer - zero point).

    The zero point is rounded down: up, the largest value would become 256.
    """
    low, high = (bound.item() for bound in torch.aminmax(x))
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, torch.finfo(torch.float32).tiny) / UINT8_MAX
    return scale, math.floor(-low / scale)


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A [out, in] weight as int8 and a float32 scale per row."""
    scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / INT8_MAX
    return (weight / scale[:, None]).round().to(torch.int8), scale


class PackedBlock(nn.Module):
    """A folded `vit.Block` on packed layers: the exact GELU and both residual additions happen inside the products."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.qkv, self.proj = cast(Packed, block.attn.qkv), cast(Packed, block.attn.proj)
        self.fc1, self.fc2 = cast(Packed, block.mlp.fc1), cast(Packed, block.mlp.fc2)
        self.heads = block.attn.heads
        self.activation: Callable[[Tensor], Tensor] = getattr(block.mlp, "activation", F.gelu)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj.add(self._mix(self.qkv(self.norm1(x))), x)
        return self.fc2.add(self._widen(self.norm2(x)), x)

    def _widen(self, x: Tensor) -> Tensor:
        return self.fc1.gelu(x) if self.activation is F.gelu else self.activation(self.fc1(x))

    def _mix(self, qkv: Tensor) -> Tensor:
        """Attention over [B, T, 3 * width], the scale already in the query's weights."""
        batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        split = qkv.reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if qkv.dtype == torch.float32:
            query, key, value = split.unbind(0)
            mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        else:
            # At 261 tokens, torch's flash kernel for the CPU takes two and a half times as long as three plain steps.
            query, key, value = split.reshape(3, batch * self.heads, tokens, -1).unbind(0)
            mixed = torch.bmm(torch.softmax(torch.bmm(query, key.transpose(1, 2)), dim=-1), value)
            mixed = mixed.reshape(batch, self.heads, tokens, -1)
        return mixed.transpose(1, 2).reshape(batch, tokens, width)
