"""Stamps by which tokens are told apart, for cameras that stamp several frames alike, or none at all."""

from __future__ import annotations

from omnivla_vision.replay.decoding import FrameUndecodableError, stamp_ns, with_stamp
from omnivla_vision.replay.storage.base import Record


class UniqueStamps:
    """Moves a stamp that was sent before by as many nanoseconds as make it new."""

    def __init__(self) -> None:
        self._sent: set[int] = set()
        # Where to look first: an hour of frames stamped zero must not be walked through for each of them.
        self._next: dict[int, int] = {}

    def make_unique(self, record: Record) -> Record:
        """The record, or one like it with another stamp. A stamp that is no time is left to the node to refuse."""
        try:
            stamp = stamp_ns(record)
        except FrameUndecodableError:
            return record
        free = self._next.get(stamp, stamp)
        while free in self._sent:
            free += 1
        self._next[stamp] = free + 1
        self._sent.add(free)
        return record if free == stamp else with_stamp(record, free)
