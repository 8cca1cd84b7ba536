"""What is done to a layer's inputs so that eight bits suffice for them, while the function stays the same.

Each input channel is treated by the values that it has on the fixed images:

- *centred*: what a channel always is, is taken out of the LayerNorm's bias and put into the layer's. A massive
  activation that every token has is such a constant (Outlier Suppression+, arXiv 2304.09145).
- *smoothed*: a channel that is loud in every token is divided by a factor in the LayerNorm's weight and bias, and the
  layer's column is multiplied by it (SmoothQuant, arXiv 2211.10438, with its alpha of 0.5).
- *apart*: a channel that is loud in some tokens only is multiplied in float32 (LLM.int8(), arXiv 2208.07339).

The attention has two exact identities of its own: a bias of the keys adds the same to all scores of a query, which
softmax ignores (but not where positions are rotary, which turn it by place); and its weights sum to 1, so that a bias
of the values passes unchanged to the layer that follows. Both keep the constants of massive activations out of
bfloat16, whose rounding would drown the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

SMOOTHING = 0.5
# A channel is apart if its peak, by the typical value of the token, is so many times that of the median channel. Over a
# thousand tokens, normal channels differ by less than a factor of 2.
LOUD = 4.0
# At most this share of the channels: each costs a column in float32.
APART_SHARE = 1 / 32
# Exact GELU is never below -0.16998, its tanh approximation -0.17004 and the quick one -0.16373.
GELU_FLOOR = -0.1701
TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """A layer takes (x - centre) / factor instead of x, float32 [in] both; but not for channels `apart`, int64 [k]."""

    centre: Tensor
    factor: Tensor
    apart: Tensor

    def inputs(self, x: Tensor) -> Tensor:
        """Inputs [..., in], changed."""
        return (x - self.centre) / self.factor


def smooth(x: Tensor, weight: Tensor) -> Smoothing:
    """Choose for a layer of weight [out, in] that follows a LayerNorm, from its inputs x, [tokens, in]."""
    centre = x.median(dim=0).values
    loudness = _typical(_by_token(x - centre), 0)
    factor = (loudness.clamp(min=TINY) / weight.abs().amax(dim=0).clamp(min=TINY)) ** SMOOTHING
    apart = loud_channels((x - centre) / factor)
    return Smoothing(centre=centre.index_fill(0, apart, 0.0), factor=factor.index_fill(0, apart, 1.0), apart=apart)


def loud_channels(x: Tensor) -> Tensor:
    """Indices of the channels of x, [tokens, in], that some tokens make much louder than the others; few or none."""
    peak = _by_token(x).amax(dim=0)
    loudest = peak.topk(max(1, int(APART_SHARE * x.shape[1])))
    return loudest.indices[loudest.values > LOUD * peak.median()].sort().values


def _by_token(x: Tensor) -> Tensor:
    return x.abs() / _typical(x, 1).clamp(min=TINY)[:, None]


def _typical(x: Tensor, dim: int) -> Tensor:
    """The mean of the square roots, squared: a size that few large values hardly change."""
    return x.abs().sqrt().mean(dim=dim).square()
