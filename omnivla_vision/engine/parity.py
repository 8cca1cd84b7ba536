"""The gate: no engine is used before its tokens have been compared with the float32 reference, encoder by encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from omnivla_vision.engine.base import Engine, EngineError, EngineSpec
from omnivla_vision.engine.limits import limits
from omnivla_vision.engine.parity_images import batches
from omnivla_vision.engine.reference import Array, Reference
from omnivla_vision.tokens.difference import Difference, Limits

# An engine, or its like.
Run = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One encoder's distance from the reference, beside what it may be."""

    difference: Difference
    limits: Limits

    @property
    def excess(self) -> float:
        """How many times over the strictest limit; at most 1 is as it should be."""
        return self.limits.excess(self.difference)

    def __str__(self) -> str:
        if self.excess <= 1:
            return str(self.difference)
        return f"{self.difference}, {self.excess:.3g} times over the limits ({self.limits})"


class ParityError(EngineError):
    """An engine's tokens are not those of the reference; the message holds the numbers and the limits.

    Attributes:
        results: one per encoder; none if the error is remembered from an earlier start.
        tolerance: how many times the limits would have been accepted.
    """

    def __init__(self, message: str, *, results: tuple[Judged, ...] = (), tolerance: float = 1.0) -> None:
        super().__init__(message)
        self.results = results
        self.tolerance = tolerance


def check(
    engine: Engine,
    spec: EngineSpec,
    reference: Reference,
    images: tuple[int, ...],
    *,
    tolerance: float = 1.0,
) -> tuple[Judged, ...]:
    """Run the fixed images through an engine and hold its tokens against the reference's.

    Args:
        engine: one built for `spec`.
        spec: its precision chooses the limits.
        reference: of the same weights.
        images: which of the fixed images.
        tolerance: how many times the limits are accepted.

    Raises:
        ParityError: an encoder is outside.
    """
    results = judge(reference.compare(features(engine, spec, images), images), spec.precision, reference)
    require(results, f"{engine.name} in {spec.precision}", tolerance)
    return results


def features(run: Run, spec: EngineSpec, images: Sequence[int]) -> list[Array]:
    """What an engine for `spec`, or its like, makes of the fixed images: [images, rows, width] of each encoder."""
    found = [run(batch) for batch in batches(spec, tuple(images))]
    return [torch.cat(parts)[: len(images)].numpy() for parts in zip(*found, strict=True)]


def require(results: tuple[Judged, ...], what: str, tolerance: float) -> None:
    """Refuse an engine, which the message calls `what`, by what was measured.

    Raises:
        ParityError: an encoder is outside. NaN and infinity are, whatever is tolerated.
    """
    if all(result.difference.finite and result.excess <= tolerance for result in results):
        return
    allowed = f"{tolerance:g} times the limits" if tolerance != 1 else "the limits"
    raise ParityError(
        f"{what} does not compute the reference's tokens: {'; '.join(map(str, results))}; expected at most {allowed}, "
        "which follow from what plain torch loses in bfloat16 on these weights; choose another precision or engine; if "
        "it is over by a little, and you have measured that your policy does not mind, raise gate.tolerance",
        results=results,
        tolerance=tolerance,
    )


def judge(differences: tuple[Difference, ...], precision: str, reference: Reference) -> tuple[Judged, ...]:
    """Put each encoder's limits beside what was measured."""
    return tuple(
        Judged(difference=difference, limits=limits(precision, bfloat16))
        for difference, bfloat16 in zip(differences, reference.bfloat16, strict=True)
    )


def to_notes(results: tuple[Judged, ...]) -> dict[str, Any]:
    """What a bundle's manifest keeps of them."""
    return {
        "parity": [asdict(result.difference) for result in results],
        "limits": [asdict(result.limits) for result in results],
    }


def from_notes(notes: Mapping[str, Any]) -> tuple[Judged, ...]:
    """The same again."""
    return tuple(
        Judged(difference=Difference(**difference), limits=Limits(**limits))
        for difference, limits in zip(notes["parity"], notes["limits"], strict=True)
    )


def accepted(results: Iterable[Judged], tolerance: float) -> str:
    """What a user accepted beyond the limits, in a sentence for everyone who takes the tokens; empty if nothing."""
    over = [str(result) for result in results if result.excess > 1]
    return f"accepted with gate.tolerance {tolerance:g}: {'; '.join(over)}" if over else ""
