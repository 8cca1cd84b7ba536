"""What an engine may lose: multiples of what plain torch loses in bfloat16 on the same weights and images.

OpenVLA and OmniVLA run their vision in bfloat16: their policies were trained or tested with such a loss. A number tuned
on one network's weights would mean nothing on another's.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnivla_vision.tokens.difference import Difference, Limits


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """How a precision's limits follow from bfloat16's loss.

    Attributes:
        loss: times bfloat16's relative L2, and times its angle: one minus a cosine grows with the square.
        floor: relative L2 that is always allowed: bfloat16's own loss is small in a network of few blocks.
        channel: error of the worst channel, in multiples of bfloat16's.
    """

    loss: float
    floor: float
    channel: float


# Raise it when these numbers or the measure change: what was refused is then tried again.
GATE_VERSION = 2
ALLOWANCES = {
    "float32": Allowance(loss=0.005, floor=1e-5, channel=0.02),
    "float16": Allowance(loss=0.5, floor=1e-3, channel=1.0),
    "mixed": Allowance(loss=0.5, floor=1e-3, channel=1.0),
    "bfloat16": Allowance(loss=1.5, floor=4e-3, channel=3.0),
    "int8": Allowance(loss=3.0, floor=1e-2, channel=6.0),
}
# Beyond this, whatever bfloat16 loses. With one channel of SigLIP at 300, bfloat16 itself loses 0.24 at full size, with
# cosines of 0.984 (mean) and 0.92 (worst); the least of the wrong computations that only these numbers see, swapped
# normalizations, differs by 0.5.
CEILING_L2 = 0.45
CEILING_COSINE_MEAN = 0.95
CEILING_COSINE_MIN = 0.75
# Right engines are within 0.003 in every precision; a bilinear resize is at 0.14 or more.
SPREAD = 0.02


def limits(precision: str, bfloat16: Difference) -> Limits:
    """What an engine of a precision must keep to on one encoder.

    Args:
        precision: one of ALLOWANCES.
        bfloat16: what plain torch in bfloat16 loses on the same encoder.
    """
    allowance = ALLOWANCES[precision]
    # Of two vectors whose difference is that share of their length.
    floor_angle = allowance.floor**2 / 2

    def cosine(loss: float, ceiling: float) -> float:
        return 1 - min(max(allowance.loss**2 * (1 - loss), floor_angle), 1 - ceiling)

    return Limits(
        cosine_min=cosine(bfloat16.cosine_min, CEILING_COSINE_MIN),
        cosine_mean=cosine(bfloat16.cosine_mean, CEILING_COSINE_MEAN),
        relative_l2=min(max(allowance.loss * bfloat16.relative_l2, allowance.floor), CEILING_L2),
        channel=allowance.channel,
        spread=SPREAD,
    )
