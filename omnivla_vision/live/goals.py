"""Which of the goals that arrive was sent last, whatever way and in whatever order they arrive."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

# What waits at the same time is received within this, and more than this apart nothing can overtake on its way.
RACE_NS = 1_000_000_000
# A goal may arrive once more after a pause. As many are recognised then.
REMEMBERED = 64


@dataclass
class _Goal:
    """What is remembered of a goal: its time, and whether it has had its chance."""

    time_ns: int
    settled: bool = False


class GoalOrder:
    """Decides of each goal, and of each wish for no goal, whether it was sent after the one in force.

    The time of sending decides. Three things may be wrong with it, and each has an answer:

    - A middleware may not tell it: then the time of reception stands for it.
    - The sender's clock may be ahead of ours, and its goal would outlast those that follow. So what was sent in the
      future was sent when it was first received.
    - The sender's clock may be behind, or ours was set back, and a new goal looks old. So what comes live, for the
      first time, and clearly later than the one in force takes its place all the same.

    Args:
        wall_ns, monotonic_ns: the clocks, in nanoseconds; the first one since 1970.
    """

    def __init__(
        self, *, wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._sent_ns = 0
        self._received_ns: int | None = None
        self._known: OrderedDict[int, _Goal] = OrderedDict()

    def accept(self, *, sent_ns: int, received_ns: int, live: bool) -> bool:
        """Whether this one takes effect; then it is the one in force from now on.

        Args:
            sent_ns: when it was sent, in nanoseconds since 1970 by the sender's clock; 0 if unknown.
            received_ns: when the middleware received it, by this machine's clock; 0 if unknown.
            live: it was sent just now. What a latching publisher kept may be of any time.
        """
        now_ns = self._wall_ns()
        received_ns = received_ns or now_ns
        goal = self._recall(sent_ns, received_ns)
        # Not by the wall clock, which may be set meanwhile.
        arrived_ns = self._monotonic_ns() - max(0, now_ns - received_ns)
        late = self._received_ns is None or arrived_ns > self._received_ns + RACE_NS
        accepted = goal.time_ns > self._sent_ns or (live and late and not goal.settled)
        goal.settled |= live or accepted
        if accepted:
            self._sent_ns, self._received_ns = goal.time_ns, arrived_ns
        return accepted

    def refuse(self, *, sent_ns: int) -> bool:
        """This one is of no use; whether that is news, since it may arrive several times."""
        news = not sent_ns or sent_ns not in self._known
        goal = self._recall(sent_ns, 0)
        goal.settled = True
        return news

    def _recall(self, sent_ns: int, received_ns: int) -> _Goal:
        if not sent_ns:
            return _Goal(received_ns)
        goal = self._known.setdefault(sent_ns, _Goal(min(sent_ns, received_ns)))
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return goal
