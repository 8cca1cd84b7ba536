"""The regression gate: tokens of today against a baseline, with limits, measured as an engine's are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnivla_vision.errors import VisionError
from omnivla_vision.replay.baseline import Baseline
from omnivla_vision.tokens.channels import Channels
from omnivla_vision.tokens.difference import difference

# The worst views that are named.
NAMED = 5


class BaselineMismatchError(VisionError):
    """Baseline and replay are of different things, so that comparing their numbers would mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is still the same.

    The same engine on another CPU differs by 1e-5 or less; the mildest of the known mistakes, a rounded mean, by 4e-3.
    Compare reduced precision with wider limits: bfloat16 differs by 1e-2 (DINOv2) to 3e-2 (SigLIP).
    """

    min_cosine: float = 0.9999
    max_relative_l2: float = 0.002
    max_norm_change: float = 0.003


@dataclass(frozen=True, kw_only=True)
class ViewDifference:
    """One view through one encoder, in the baseline's standardized channels.

    `cosine` is the worst token's; it and relative L2 are None where the baseline kept no tokens of the view.
    """

    view: str
    encoder: str
    cosine: float | None
    relative_l2: float | None
    norm_change: float
    excess: float  # how many times over the strictest limit; above 1 it fails

    def __str__(self) -> str:
        sampled = "" if self.cosine is None else f"cosine {self.cosine:.6f}, relative L2 {self.relative_l2:.2e}, "
        return f"{self.view}, {self.encoder}: {sampled}norm change {self.norm_change:.2e}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The comparison of a whole replay; `worst` are the worst views, passing or not."""

    passed: bool
    views: int
    failed: int
    limits: Limits
    worst: list[ViewDifference]

    def __str__(self) -> str:
        if self.passed:
            return f"the tokens of all {self.views} views match the baseline; the worst is {self.worst[0]}"
        worst = "\n  ".join(str(view) for view in self.worst if view.excess > 1)
        return (
            f"the tokens of {self.failed} of {self.views} views differ from the baseline (limits: cosine at least "
            f"{self.limits.min_cosine:g}, relative L2 at most {self.limits.max_relative_l2:g}, norm change at most "
            f"{self.limits.max_norm_change:g}); the worst:\n  {worst}"
        )


def compare(now: Baseline, then: Baseline, limits: Limits, *, allow_different: bool = False) -> Verdict:
    """Compare today's tokens with a baseline's.

    Args:
        now: built beside `then`, so that it has the same views' tokens and was measured by the same channels.
        then: the stored one.
        limits: what still passes.
        allow_different: compare in spite of other weights or another preprocessing.

    Raises:
        BaselineMismatchError: other weights or preprocessing (unless allowed), other encoders, or another recording.
    """
    _check_same(now, then, allow_different)
    differences: list[ViewDifference] = []
    for view, name in enumerate(then.names):
        end = 0
        for number, (encoder, width) in enumerate(then.encoders.items()):
            columns, end = slice(end, end + width), end + width
            pair = None
            if view in then.samples:
                pair = now.samples[view][:, columns], then.samples[view][:, columns]
            channels = then.channels[number]
            norm_change = abs(float(now.norms[view, number] / then.norms[view, number]) - 1)
            differences.append(_difference(name, encoder, channels, norm_change, pair, limits))
    differences.sort(key=lambda difference: -difference.excess)
    failed = {difference.view for difference in differences if difference.excess > 1}
    return Verdict(
        passed=not failed, views=len(then.names), failed=len(failed), limits=limits, worst=differences[:NAMED]
    )


def _difference(
    view: str,
    encoder: str,
    channels: Channels,
    norm_change: float,
    pair: tuple[np.ndarray, np.ndarray] | None,
    limits: Limits,
) -> ViewDifference:
    cosine = relative_l2 = None
    excesses = [norm_change / limits.max_norm_change]
    if pair is not None:
        now, then = (tokens[None] for tokens in pair)
        measured = difference(encoder, now, then, channels)
        cosine, relative_l2 = measured.cosine_min, measured.relative_l2
        excesses += [relative_l2 / limits.max_relative_l2, (1 - cosine) / (1 - limits.min_cosine)]
    # NaN compares as smaller than any limit, and must not pass for that.
    excess = max(excesses) if np.isfinite(excesses).all() else np.inf
    return ViewDifference(
        view=view,
        encoder=encoder,
        cosine=cosine,
        relative_l2=relative_l2,
        norm_change=norm_change,
        excess=float(excess),
    )


def _check_same(now: Baseline, then: Baseline, allow_different: bool) -> None:
    for field in ("fingerprint", "preprocessing_id"):
        ours, theirs = getattr(now.provenance, field), getattr(then.provenance, field)
        if ours != theirs and not allow_different:
            raise BaselineMismatchError(
                f"found {field} {ours!r}; the baseline was made with {theirs!r}; compare like with like, save a new "
                "baseline, or give --allow-different to compare in spite of it"
            )
    if now.encoders != then.encoders:
        raise BaselineMismatchError(
            f"found encoders {now.encoders}; the baseline was made with {then.encoders}; choose the same preset"
        )
    if now.names != then.names or not np.array_equal(now.stamps_ns, then.stamps_ns):
        raise BaselineMismatchError(
            f"found {len(now.names)} views (frames and goals); the baseline has {len(then.names)} with other names or "
            "stamps: it was made from another recording, another stretch of it, or with another goal"
        )
