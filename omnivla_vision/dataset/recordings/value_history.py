"""One topic's values of the last seconds: which of them a frame gets, on clocks that may be set back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from omnivla_vision.images.stamps import NS_PER_S
from omnivla_vision.replay.camera_clock import RESTART_NS

# Of the recorder's time: a value with a later stamp than the frame's waits so long for later frames.
WAIT_NS = 3 * NS_PER_S
# The latest values are kept undecoded, for one of them may turn out to be broken.
SPARE = 8


class Moment(NamedTuple):
    """When something was: by its own stamp, 0 where it has none, and by the recorder's clock; ns."""

    stamp_ns: int
    recorded_ns: int

    def age_ns(self, frame: Moment) -> int:
        """How long before the frame, by the stamps where both have one; negative after it."""
        if self.stamp_ns and frame.stamp_ns:
            return frame.stamp_ns - self.stamp_ns
        return frame.recorded_ns - self.recorded_ns

    @property
    def offset_ns(self) -> int:
        """From the stamp to the recorder's clock: leaps when the stamps' clock is set back, and at no other time."""
        return self.recorded_ns - self.stamp_ns


class Value(NamedTuple):
    """A value, and when it was."""

    at: Moment
    data: bytes


@dataclass
class _Run:
    """Values between two settings of the clock; `last` is the latest recorded that has a stamp."""

    last: Moment
    usable: list[Value] = field(default_factory=list)  # for the present frame, the latest last
    waiting: deque[Value] = field(default_factory=deque)  # for a later frame, as recorded

    def keep(self, wanted: Callable[[Value], bool]) -> None:
        self.usable = [value for value in self.usable if wanted(value)]
        self.waiting = deque(value for value in self.waiting if wanted(value))

    def use(self, value: Value, frame: Moment) -> None:
        self.usable.append(value)
        self.usable.sort(key=lambda value: -value.at.age_ns(frame))  # stable: of equals, the later recorded is later
        del self.usable[:-SPARE]

    def use_waiting(self, frame: Moment) -> None:
        """What waited for this frame waits no longer."""
        ready = [value for value in self.waiting if value.at.age_ns(frame) >= 0]
        if ready:
            self.waiting = deque(value for value in self.waiting if value.at.age_ns(frame) < 0)
            for value in ready:
                self.use(value, frame)


class ValueHistory:
    """Values in the order of the recorder's clock, and frames in theirs.

    Attributes:
        overtaken: values that waited for their frame until they were given up.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._frame = Moment(0, 0)
        self._set_back: tuple[Moment, Moment] | None = None  # the frames before and after their clock last was
        self.overtaken = 0

    def begin(self, frame: Moment) -> None:
        """Turn to the next frame."""
        if frame.stamp_ns and frame.stamp_ns < self._frame.stamp_ns - RESTART_NS:
            self._set_back = self._frame, frame
            for run in self._runs:
                run.keep(lambda value: _belongs(value.at, self._frame, frame))
            self._runs = [run for run in self._runs if run.usable or run.waiting]
        self._frame = frame
        while len(self._runs) > 1 and self._runs[0].last.recorded_ns < frame.recorded_ns - WAIT_NS:
            del self._runs[0]
        current = self._current()
        if current is not None:
            current.use_waiting(frame)  # before newer ones push them out

    def add(self, value: Value) -> None:
        """The next value, for the present frame or for later ones."""
        at, frame, back = value.at, self._frame, self._set_back
        if back is not None and at.recorded_ns < back[1].recorded_ns and not _belongs(at, *back):
            return
        if not self._runs or (
            at.stamp_ns and frame.stamp_ns and at.stamp_ns < self._runs[-1].last.stamp_ns - RESTART_NS
        ):
            self._runs.append(_Run(at))
        run = self._runs[-1]
        if at.stamp_ns or not run.last.stamp_ns:
            run.last = at
        if at.age_ns(frame) >= 0 and run is self._current():
            run.use(value, frame)
            return
        run.waiting.append(value)
        while run.waiting and run.waiting[0].at.recorded_ns < frame.recorded_ns - WAIT_NS:
            run.waiting.popleft()
            self.overtaken += 1

    def latest_first(self) -> Iterator[Value]:
        """What the present frame may get, the best first; the caller may remove what it was given."""
        run = self._current()
        if run is not None:
            run.use_waiting(self._frame)
            yield from run.usable[::-1]

    def remove(self, value: Value) -> None:
        """It is broken."""
        for run in self._runs:
            run.keep(lambda other: other is not value)

    def _current(self) -> _Run | None:
        """Near a setting of the clock there are two runs; the frame's own offset tells which one it belongs to."""
        return min(self._runs, key=lambda run: abs(run.last.offset_ns - self._frame.offset_ns), default=None)


def _belongs(at: Moment, before: Moment, after: Moment) -> bool:
    """Whether a value is of the time after the clock was set back, rather than before."""
    if not at.stamp_ns:
        return at.recorded_ns > before.recorded_ns
    return abs(at.offset_ns - after.offset_ns) < abs(at.offset_ns - before.offset_ns)
