"""Plays a bag's camera and goal topics into a node: raw CDR as it was recorded, at the recorded pace, with /clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock

from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.prefetch import Prefetch
from omnivla_vision.replay.selection import Selection
from omnivla_vision.replay.steps import read_records
from omnivla_vision.replay.storage.base import Record
from omnivla_vision.ros.drive.unique_stamps import UniqueStamps
from omnivla_vision.ros.messages import ns_to_stamp

# /clock ticks this often while nothing else happens; simulators do the same.
TICK_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Played:
    """One message that was just published.

    Attributes:
        record: as it was published: a camera's stamp that came before has been moved.
        time_ns: its time in the bag, moved on by the loops before.
        wall_s: time.time() when it was handed to the transport.
    """

    record: Record
    time_ns: int
    wall_s: float
    is_goal: bool


class SimClock:
    """Publishes /clock, or does nothing when it is not wanted."""

    def __init__(self, node: Node, *, wanted: bool, topic: str = "/clock") -> None:
        self._publisher = node.create_publisher(Clock, topic, 10) if wanted else None

    def set(self, now_ns: int) -> None:
        """It is now this late."""
        if self._publisher is not None:
            self._publisher.publish(Clock(clock=ns_to_stamp(max(0, now_ns))))


class Player:
    """Publishes a bag through two publishers.

    Args:
        camera, goal: publishers of the types that the bag's topics have.
        path: the bag.
        selection: what of it to play.
        rate: how many times faster than recorded.
        loops: how often.
        clock: receives the bag's time.
        idle: called again and again while there is nothing to publish.

    Attributes:
        moved_stamps: frames that were sent with another stamp, since one before them had theirs.
    """

    def __init__(
        self,
        camera: Publisher,
        goal: Publisher,
        path: Path,
        selection: Selection,
        *,
        rate: float,
        loops: int,
        clock: SimClock,
        idle: Callable[[], None],
    ) -> None:
        self._path = path
        self._selection = selection
        self._rate = rate
        self._loops = loops
        self._clock = clock
        self._idle = idle
        self._camera = camera
        self._goal = goal
        self._stamps = UniqueStamps()
        self.moved_stamps = 0

    def play(self) -> Iterator[Played]:
        """Publish every message at its time, and yield it.

        Raises:
            BagUnreadableError: the bag breaks off.
        """
        zero = time.monotonic()
        shift_ns = 0
        for loop in range(self._loops):
            first_ns = last_ns = None
            with Bag(self._path) as bag, Prefetch(partial(read_records, bag, self._selection)) as records:
                for record in records:
                    # A goal from before the stretch that is played is published at its beginning.
                    at_ns = max(record.time_ns, self._selection.start_ns)
                    first_ns = at_ns if first_ns is None else first_ns
                    last_ns = at_ns
                    played_ns = shift_ns + at_ns
                    self._wait_until(zero + (played_ns - self._selection.start_ns) / 1e9 / self._rate, at_ns)
                    is_goal = record.topic != self._selection.camera.name
                    published = record if is_goal else self._stamps.make_unique(record)
                    self.moved_stamps += published is not record and loop == 0  # later ones repeat every stamp
                    wall_s = time.time()
                    (self._goal if is_goal else self._camera).publish(published.data)
                    yield Played(record=published, time_ns=played_ns, wall_s=wall_s, is_goal=is_goal)
            if first_ns is not None and last_ns is not None:
                shift_ns += last_ns - self._selection.start_ns + self._interval_ns(first_ns, last_ns)

    def _wait_until(self, due_s: float, bag_ns: int) -> None:
        """Let the clock run up to `bag_ns`, which it reaches at `due_s` of time.monotonic()."""
        while (left_s := due_s - time.monotonic()) > 0:
            self._clock.set(bag_ns - round(left_s * self._rate * 1e9))
            self._idle()
            time.sleep(max(0.0, min(TICK_S, due_s - time.monotonic())))
        self._clock.set(bag_ns)

    def _interval_ns(self, first_ns: int, last_ns: int) -> int:
        """The usual time between two frames, which also lies between two loops."""
        return (last_ns - first_ns) // max(1, self._selection.camera.count - 1)
