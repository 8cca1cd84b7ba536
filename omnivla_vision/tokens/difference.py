"""How far tokens are from a reference's: one measure for the gate of an engine and for that of a replay."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from omnivla_vision.tokens.channels import Channels, Doubles, Floats


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One encoder's tokens against a reference's, in standardized channels (see `Channels`). All numbers are float64.

    Attributes:
        encoder: whose.
        cosine_min: between a token and the reference's, the worst.
        cosine_mean: the same, over all tokens.
        relative_l2: norm of the difference by the norm of the reference, over an image's tokens; the worst image.
        channel: root mean square error of a channel over an image's tokens, in multiples of what bfloat16 loses there;
            the worst channel of the worst image. Sees one group of channels, or one that hardly varies.
        spread: how much more or less the tokens of an image differ from their mean than the reference's do (regression
            through all of them, so that rounding averages out), as a share; the worst image. Sees contrast: a resize of
            another kind.
    """

    encoder: str
    cosine_min: float
    cosine_mean: float
    relative_l2: float
    channel: float
    spread: float

    @property
    def finite(self) -> bool:
        """False if there was NaN or infinity among the tokens."""
        return bool(np.isfinite([self.cosine_min, self.cosine_mean, self.relative_l2, self.channel, self.spread]).all())

    def __str__(self) -> str:
        if not self.finite:
            return f"{self.encoder}: NaN or infinite values"
        return f"{self.encoder}: {numbers(self)}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a difference must keep to; the fields are those of `Difference`."""

    cosine_min: float
    cosine_mean: float
    relative_l2: float
    channel: float
    spread: float

    def excess(self, difference: Difference) -> float:
        """How many times over the strictest limit; at most 1 passes. NaN is infinitely over.

        One minus a cosine grows with the square of a difference: it is the root that is comparable with the others.
        """
        if not difference.finite:
            return float("inf")
        return max(
            math.sqrt(max(0.0, 1 - difference.cosine_min) / (1 - self.cosine_min)),
            math.sqrt(max(0.0, 1 - difference.cosine_mean) / (1 - self.cosine_mean)),
            difference.relative_l2 / self.relative_l2,
            difference.channel / self.channel,
            difference.spread / self.spread,
        )

    def __str__(self) -> str:
        return numbers(self)


def numbers(of: Difference | Limits) -> str:
    """The five numbers of a difference, or of what it may be, in one line."""
    return (
        f"token cosine min {of.cosine_min:.7f} mean {of.cosine_mean:.7f}, relative L2 {of.relative_l2:.2e}, "
        f"worst channel {of.channel:.2g} x bfloat16's error, spread {of.spread:.1e}"
    )


def difference(encoder: str, tokens: Floats, reference: Floats, channels: Channels) -> Difference:
    """Measure one encoder's tokens against a reference's.

    Args:
        encoder: its name.
        tokens: [images, tokens_per_image, width].
        reference: of the same shape.
        channels: of the reference, or of a larger set that it belongs to.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # NaN and infinity come out as such
        ours, theirs = channels.standardize(tokens), channels.standardize(reference)
        error = ours - theirs
        cosines = cosine(ours, theirs)
        channel = np.sqrt(np.square(error).mean(axis=1)) * (channels.scale / channels.error)
        return Difference(
            encoder=encoder,
            cosine_min=float(cosines.min()),
            cosine_mean=float(cosines.mean()),
            relative_l2=float((_norm(error) / _nonzero(_norm(theirs))).max()),
            channel=float(channel.max()),
            spread=float(np.abs(_gain(ours, theirs) - 1).max()),
        )


def cosine(a: Doubles, b: Doubles) -> Doubles:
    """Cosine of the angle between vectors along the last axis: 0 where one of them is zero, 1 where both are."""
    lengths = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    result: Doubles = np.einsum("...i,...i->...", a, b) / _nonzero(lengths[0] * lengths[1])
    result[(lengths[0] == 0) & (lengths[1] == 0)] = 1.0
    return result


def _gain(ours: Doubles, theirs: Doubles) -> Doubles:
    """Of each image: by what factor `ours` deviates from its mean as the reference does from its own (regression)."""
    centred = theirs - theirs.mean(axis=1, keepdims=True)
    square = np.square(centred).sum(axis=(1, 2))
    gain: Doubles = np.where(square > 0, (ours * centred).sum(axis=(1, 2)) / _nonzero(square), 1.0)
    return gain


def _norm(vectors: Doubles) -> Doubles:
    norm: Doubles = np.sqrt(np.square(vectors).sum(axis=(1, 2)))
    return norm


def _nonzero(values: Doubles) -> Doubles:
    return np.maximum(values, np.finfo(np.float64).tiny)
