"""Linear layers in int8: rows quantized one by one, and what does not fit into eight bits computed beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omnivla_vision.engine.packed import PackedLinear

INT8_MAX = 127
UINT8_MAX = 255
ZERO_POINT = 128
# Below it, 1 / scale would not be finite; a row so small is all zeros beside any other.
SMALLEST_SCALE = 1e-30


@dataclass(frozen=True, kw_only=True)
class Int8Weights:
    """What a layer keeps of a [out, in] weight.

    Attributes:
        values: int8 [out, in]; the columns in `apart` are zero.
        scale: float32 [out], the weight of a unit of each row.
        bias: float32 [out].
        apart: int64 [k], the input channels that are multiplied in float32.
        apart_weight: float32 [k, out], their weights.
        centre: float32 [in] or [0], subtracted from the inputs first; the bias has it already.
        floor: float32 [] that no input is below, so that all of 0..255 is above it; or NaN: the inputs have both signs.
    """

    values: Tensor
    scale: Tensor
    bias: Tensor
    apart: Tensor
    apart_weight: Tensor
    centre: Tensor
    floor: Tensor

    @staticmethod
    def of(
        weight: Tensor,
        bias: Tensor,
        *,
        apart: Tensor | None = None,
        centre: Tensor | None = None,
        floor: float = math.nan,
    ) -> Int8Weights:
        """Quantize a float32 layer, which may have a centre or a floor; the bias takes what they always contribute."""
        apart = torch.empty(0, dtype=torch.int64) if apart is None else apart
        values, scale = quantize_weight(weight.index_fill(1, apart, 0.0))
        if centre is not None:
            bias = bias + weight @ centre
        if not math.isnan(floor):
            bias = bias + floor * scale * values.sum(dim=1, dtype=torch.float32)
        return Int8Weights(
            values=values,
            scale=scale,
            bias=bias,
            apart=apart,
            apart_weight=weight[:, apart].T.contiguous(),
            centre=torch.empty(0) if centre is None else centre,
            floor=torch.tensor(floor),
        )


class PackedInt8Linear(nn.Module):
    """A linear layer over float32 [..., in] -> float32 [..., out], multiplied in int8 with int32 sums.

    Weights have a scale per output channel. Activations have one per row (token), found in each call, so that a loud
    token costs the others nothing. The input may be overwritten.
    """

    def __init__(self, weights: Int8Weights, rows: int) -> None:
        super().__init__()
        self._weight = torch.ops.onednn.qlinear_prepack(weights.values, [rows, weights.values.shape[1]])
        self._scale = weights.scale
        self._zero_points = torch.zeros(len(weights.scale), dtype=torch.int32)
        self._bias = weights.bias
        self._apart, self._apart_weight, self._centre = weights.apart, weights.apart_weight, weights.centre
        self._floor = None if weights.floor.isnan() else weights.floor.item()

    def forward(self, x: Tensor) -> Tensor:
        beside, product, scale = self._multiply(x)
        return torch.addcmul(beside, product, scale, out=product)

    def gelu(self, x: Tensor) -> Tensor:
        """The layer, then the exact (erf) GELU."""
        return torch.ops.aten.gelu_(self(x))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """The layer plus `residual`."""
        beside, product, scale = self._multiply(x)
        return torch.addcmul(residual, product, scale, out=product).add_(beside)

    def _multiply(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`beside`, `product` and `scale` of `beside + product * scale`: oneDNN knows no scale per row of activations.

        `beside` is the bias, and with it the channels that are apart.
        """
        x = x.float()
        if len(self._centre):
            x.sub_(self._centre)
        beside = self._bias
        if len(self._apart):
            loud = x.index_select(-1, self._apart)
            beside = torch.addmm(beside, loud.flatten(0, -2), self._apart_weight).view(*x.shape[:-1], -1)
            x.index_fill_(-1, self._apart, 0.0)
        values, scale = quantize_rows(x, self._floor)
        return beside, self.product(values), scale

    def product(self, values: Tensor) -> Tensor:
        """uint8 [..., in] as `quantize_rows` makes them -> float32 [..., out], to be multiplied by the rows' scales."""
        zero_point = ZERO_POINT if self._floor is None else 0
        return torch.ops.onednn.qlinear_pointwise(
            values, 1.0, zero_point, self._weight, self._scale, self._zero_points, None,
            1.0, 0, torch.float32, "none", [], "none",
        )  # fmt: skip


class KeptLinear(nn.Module):
    """A layer that int8 would break, in the dtype of its weight, between float32 activations."""

    def __init__(self, weight: Tensor, bias: Tensor, rows: int) -> None:
        super().__init__()
        self._linear = PackedLinear(weight, bias, rows)
        self._dtype = weight.dtype

    def forward(self, x: Tensor) -> Tensor:
        return self._linear(x.to(self._dtype)).float()

    def gelu(self, x: Tensor) -> Tensor:
        """The layer, then the exact (erf) GELU."""
        return self._linear.gelu(x.to(self._dtype)).float()

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """The layer plus `residual`."""
        return self(x).add_(residual)


def quantize_rows(x: Tensor, floor: float | None = None) -> tuple[Tensor, Tensor]:
    """float32 [..., in] -> uint8 values of the same shape, and a float32 scale per row, [..., 1].

    They stand for scale * (values - 128); for floor + scale * values, with half the step, where no input is below
    `floor`. A row's largest value becomes 255 and never 256: nothing wraps. `x` is overwritten: a second array of this
    size would not stay in the cache.
    """
    if floor is None:
        largest = torch.maximum(x.amax(dim=-1, keepdim=True), x.amin(dim=-1, keepdim=True).neg_())
        scale = largest.div_(INT8_MAX).clamp_(min=SMALLEST_SCALE)
        x.mul_(scale.reciprocal())
    else:
        scale = x.amax(dim=-1, keepdim=True).sub_(floor).div_(UINT8_MAX).clamp_(min=SMALLEST_SCALE)
        per_unit = scale.reciprocal()
        x.mul_(per_unit).sub_(per_unit.mul_(floor).add_(ZERO_POINT))
    # By way of int8, to which torch converts float32 four times as fast as to uint8; the highest bit then adds 128.
    return x.round_().to(torch.int8).view(torch.uint8).bitwise_xor_(ZERO_POINT), scale


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A [out, in] weight as int8 and a float32 scale per row."""
    scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / INT8_MAX
    return (weight / scale[:, None]).round().to(torch.int8), scale
