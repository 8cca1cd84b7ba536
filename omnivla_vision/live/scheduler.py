"""Newest frame wins: a slot of one frame, and counters that add up. No threads and no clock of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Frame = TypeVar("Frame")


@dataclass(frozen=True, kw_only=True)
class FrameCounts:
    """What became of every frame; `received` is always the sum of the others.

    Attributes:
        received: frames that arrived (of several cameras: complete sets).
        published: their tokens were handed to the transport.
        superseded: a newer frame arrived before their turn came, or the node stopped first.
        stale: too old to act on when their turn came, or when their tokens were ready.
        rejected: not usable images.
        failed: fine, but computing or publishing their tokens failed.
        in_flight: waiting or in work.
    """

    received: int = 0
    published: int = 0
    superseded: int = 0
    stale: int = 0
    rejected: int = 0
    failed: int = 0
    in_flight: int = 0


class NewestFrame(Generic[Frame]):
    """Holds the newest frame that nobody has taken yet.

    A frame's life: `offer`, then either given up (superseded by the next `offer`, `drop`, `expire`), or `take`n and
    settled by exactly one of `published`, `stale`, `rejected` or `failed`. What is no image at all never gets into the
    slot: `refuse`. The caller serializes the calls (the worker does so under one lock).
    """

    def __init__(self) -> None:
        self._waiting: Frame | None = None
        self._taken = 0
        self._received = self._published = self._superseded = self._stale = self._rejected = self._failed = 0

    def offer(self, frame: Frame) -> None:
        """A frame arrived; it replaces one that is still waiting."""
        self._received += 1
        if self._waiting is not None:
            self._superseded += 1
        self._waiting = frame

    def refuse(self) -> None:
        """Something arrived that is no usable image; a good frame that is waiting stays."""
        self._received += 1
        self._rejected += 1

    def take(self) -> Frame | None:
        """Take the newest frame out for processing, or None."""
        frame, self._waiting = self._waiting, None
        if frame is not None:
            self._taken += 1
        return frame

    def drop(self) -> None:
        """Give up the waiting frame, if any: nobody will process it."""
        if self._waiting is not None:
            self._waiting = None
            self._superseded += 1

    def expire(self) -> None:
        """Give up the waiting frame, if any: its time is over."""
        if self._waiting is not None:
            self._waiting = None
            self._stale += 1

    def published(self) -> None:
        """A taken frame's tokens were handed to the transport."""
        self._taken -= 1
        self._published += 1

    def stale(self) -> None:
        """A taken frame is too old to act on."""
        self._taken -= 1
        self._stale += 1

    def rejected(self) -> None:
        """A taken frame was not a usable image."""
        self._taken -= 1
        self._rejected += 1

    def failed(self) -> None:
        """A taken frame was fine, but computing or publishing its tokens failed."""
        self._taken -= 1
        self._failed += 1

    @property
    def waiting(self) -> bool:
        """Whether a frame can be taken."""
        return self._waiting is not None

    @property
    def counts(self) -> FrameCounts:
        """The totals so far."""
        return FrameCounts(
            received=self._received,
            published=self._published,
            superseded=self._superseded,
            stale=self._stale,
            rejected=self._rejected,
            failed=self._failed,
            in_flight=self._taken + self.waiting,
        )


def is_stale(stamp_ns: int, *, now_ns: int, limit_s: float) -> bool:
    """Whether an image is older than `limit_s`; 0 means no limit.

    It compares with nothing but the present, so a clock that jumps back (a bag that starts over, a simulation that is
    reset) cannot leave a newest stamp behind that every later frame would fail against. A stamp in the future is fresh.
    """
    return limit_s > 0 and now_ns - stamp_ns > limit_s * 1e9
