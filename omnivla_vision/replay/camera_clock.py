"""How regularly the camera's frames were recorded: rate, gaps, stamps out of order, clocks that start again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# A gap is worth a word from this many times the usual interval on, and from this many seconds on.
GAP_INTERVALS = 10
GAP_S = 1.0
# Stamps that step back less than this are out of order; beyond, the clock started again.
RESTART_NS = 1_000_000_000


@dataclass
class CameraClock:
    """Sees the stamp and the recording time of every camera frame, in nanoseconds, in the order of recording."""

    stamps_ns: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)

    def add(self, *, stamp_ns: int, time_ns: int) -> None:
        """Note one frame."""
        self.stamps_ns.append(stamp_ns)
        self.times_ns.append(time_ns)

    @property
    def rate_hz(self) -> float:
        """Frames per second at the usual interval; 0 below two frames."""
        usual = self._usual_s
        return 1 / usual if usual > 0 else 0.0

    @property
    def longest_gap_s(self) -> float:
        """The longest time between two frames."""
        return float(self._intervals_s.max()) if len(self.times_ns) > 1 else 0.0

    @property
    def out_of_order(self) -> int:
        """How many stamps are a little earlier than the one before."""
        return int(((self._stamp_steps < 0) & (self._stamp_steps > -RESTART_NS)).sum())

    @property
    def restarts(self) -> int:
        """How many stamps are much earlier than the one before."""
        return int((self._stamp_steps <= -RESTART_NS).sum())

    def notes(self) -> list[str]:
        """What the reader of the report should know, in sentences."""
        notes = []
        if self.longest_gap_s > max(GAP_S, GAP_INTERVALS * self._usual_s):
            at_s = self._seconds_at(int(self._intervals_s.argmax()))
            notes.append(f"The camera paused for {self.longest_gap_s:.1f} s, {at_s:.1f} s after its first frame.")
        if self.out_of_order:
            notes.append(
                f"{self.out_of_order} camera stamps are a little earlier than the one before: frames were recorded "
                "out of order. They were played in the order of recording."
            )
        if self.restarts:
            at_s = self._seconds_at(int((self._stamp_steps <= -RESTART_NS).argmax()) + 1)
            notes.append(
                f"The camera's clock starts again {self.restarts} times, first {at_s:.1f} s after its first frame: a "
                "simulator was reset, or a bag was looped, while this one was recorded."
            )
        return notes

    def _seconds_at(self, frame: int) -> float:
        return (self.times_ns[frame] - self.times_ns[0]) / 1e9

    @property
    def _stamp_steps(self) -> NDArray[np.int64]:
        stamps = np.asarray(self.stamps_ns, dtype=np.int64)
        return stamps[1:] - stamps[:-1]

    @property
    def _intervals_s(self) -> NDArray[np.float64]:
        times = np.asarray(self.times_ns, dtype=np.int64)
        return (times[1:] - times[:-1]) / 1e9

    @property
    def _usual_s(self) -> float:
        return float(np.median(self._intervals_s)) if len(self.times_ns) > 1 else 0.0
