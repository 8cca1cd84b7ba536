"""When the next goal's turn has come, judged by similarity alone: a heuristic, not localization."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AdvanceRule:
    """Advance once the similarity to the next goal has been at least `threshold` for `frames` frames in a row.

    Attributes:
        threshold: -1 to 1, see `Landmarks.similarities`.
        frames: at least 1.
        hysteresis: after an advance the similarity to the goal that is next by then must first have been below
            `threshold - hysteresis`: goals that look alike would otherwise all be passed at once, on the same spot.
    """

    threshold: float
    frames: int
    hysteresis: float


class Advance:
    """Counts the frames; the last goal stays in force."""

    def __init__(self) -> None:
        self._count = 0
        self._armed = True

    def restart(self) -> None:
        """The index was set by somebody: the rule begins anew."""
        self._count, self._armed = 0, True

    def frame(self, similarity: float, rule: AdvanceRule) -> bool:
        """Whether to advance now, after a frame with that similarity to the next goal."""
        if similarity < rule.threshold - rule.hysteresis:
            self._armed = True
        self._count = self._count + 1 if self._armed and similarity >= rule.threshold else 0
        if self._count < rule.frames:
            return False
        self._count, self._armed = 0, False
        return True
