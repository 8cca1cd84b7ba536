"""Goals that cost nothing: in hindsight every drive was a drive to each of its later frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.dataset.errors import HindsightError
from omnivla_vision.dataset.training.frame_index import FrameIndex

NONE = -1


@dataclass(frozen=True)
class Hindsight:
    """A goal is a later frame of the same episode and camera, each of those that may be chosen equally often.

    Give either `frames` or `seconds`. At the end of an episode there are fewer to choose from; a frame that has none at
    all is no item of the dataset. By seconds, a frame counts by its stamp, and the choice ends where stamps go back.

    Args:
        frames: (a, b): the goal is k rows ahead, a <= k <= b.
        seconds: (a, b): the goal's stamp is t seconds ahead, a <= t <= b.
        none_share: so many items of all, 0 <= none_share < 1, get no goal, at random.

    Raises:
        HindsightError: neither or both, or no range, or no share.
    """

    frames: tuple[int, int] | None = None
    seconds: tuple[float, float] | None = None
    none_share: float = 0.0

    def __post_init__(self) -> None:
        given = [value for value in (self.frames, self.seconds) if value is not None]
        if len(given) != 1 or not 0 <= given[0][0] <= given[0][1]:
            raise HindsightError(
                f"found frames={self.frames} and seconds={self.seconds}; expected one of them as (a, b), 0 <= a <= b, "
                "such as Hindsight(frames=(5, 50))"
            )
        if not 0 <= self.none_share < 1:
            raise HindsightError(
                f"found none_share={self.none_share}; expected at least 0 and less than 1; for no goals at all give no "
                "Hindsight"
            )

    def choices(self, index: FrameIndex) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each position the first one that may be its goal, and the one behind the last; equal if there is none."""
        positions = np.arange(len(index.rows))
        if self.frames is not None:
            end = index.starts[1:][index.track(positions)]
            return np.minimum(positions + self.frames[0], end), np.minimum(positions + self.frames[1] + 1, end)
        assert self.seconds is not None
        nearest, farthest = (round(limit * 1e9) for limit in self.seconds)
        first, end = positions.copy(), positions.copy()
        stamps = index.stamps_ns
        back = np.flatnonzero(np.diff(stamps) < 0) + 1
        runs = np.union1d(index.starts, back)
        for start, stop in pairwise(runs):
            run = stamps[start:stop]
            first[start:stop] = start + np.searchsorted(run, run + nearest, side="left")
            end[start:stop] = start + np.searchsorted(run, run + farthest, side="right")
        return np.maximum(first, positions), np.maximum(end, positions)

    def choose(self, draws: NDArray[np.float64], first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each item one position in [first, end), or `NONE`.

        Args:
            draws: float64 [items, 2], uniform in [0, 1).
            first: int64 [items].
            end: int64 [items].
        """
        return np.where(draws[:, 0] < self.none_share, NONE, first + (draws[:, 1] * (end - first)).astype(np.int64))


def draws_of(seed: int, epoch: int, items: NDArray[np.int64]) -> NDArray[np.float64]:
    """Two uniform numbers for each item, whatever others are asked for: float64 [items, 2].

    They lie in one sequence, at the item's place: a generator for each would take a tenth of the time of reading it.
    """
    bits = np.random.PCG64((seed, epoch))
    start = bits.state
    generator = np.random.Generator(bits)
    draws = np.empty((len(items), 2))
    for row, item in zip(draws, items.tolist(), strict=True):
        bits.state = start
        bits.advance(2 * item)
        generator.random(out=row)
    return draws
