"""Channels made comparable: where each one lies and how far it spreads, so that none of them outshouts the others.

Real vision transformers have massive channels, a thousand times the median on every token. A cosine or a norm over raw
tokens then sees that channel alone: whatever happens in the others, all tokens look alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]

# bfloat16 has 8 significant bits: rounding to nearest is off by up to this share of the number.
BFLOAT16_ROUNDING = 2.0**-9
# A channel of which bfloat16 loses more than this share of the spread weighs less, in proportion: a constant channel
# would otherwise be its own rounding error, blown up to the size of a feature.
RESOLVED = 0.1


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Statistics of one encoder's channels over the tokens of a reference.

    Attributes:
        mean: float64 [width].
        scale: float64 [width], positive: the standard deviation, or where that is below what bfloat16 resolves, the
            least difference that counts as one.
        error: float64 [width], positive: what bfloat16 is expected to lose in a channel, root mean square. By this a
            channel that hardly varies is judged.
    """

    mean: Doubles
    scale: Doubles
    error: Doubles

    @classmethod
    def of(cls, tokens: Floats, *, bfloat16: Floats | None = None) -> Channels:
        """Measure them.

        Args:
            tokens: [..., width], the reference's.
            bfloat16: [..., width], the same tokens computed in bfloat16. Without them, the loss of rounding the
                channel's mean is expected.
        """
        rows = _rows(tokens)
        mean, deviation = rows.mean(axis=0), rows.std(axis=0)
        error = np.abs(mean) * BFLOAT16_ROUNDING
        if bfloat16 is not None:
            measured = np.sqrt(np.square(_rows(bfloat16) - rows).mean(axis=0))
            varying = deviation > 0
            # By luck a channel may lose next to nothing; another engine's luck is another.
            typical = np.median(measured[varying] / deviation[varying]) if varying.any() else 0.0
            error = np.maximum(error, np.maximum(measured, typical * deviation))
        # A channel that is zero throughout still has a size at which a difference counts.
        error = np.maximum(error, max(np.median(deviation) * BFLOAT16_ROUNDING, np.finfo(np.float64).tiny))
        return cls(mean=mean, scale=np.maximum(deviation, error / RESOLVED), error=error)

    def standardize(self, tokens: Floats) -> Doubles:
        """[..., width] tokens -> float64 of the same shape: every channel about zero, with a spread of one or less."""
        standardized: Doubles = (np.asarray(tokens, np.float64) - self.mean) / self.scale
        return standardized


def _rows(tokens: Floats) -> Doubles:
    return np.asarray(tokens, np.float64).reshape(-1, tokens.shape[-1])
