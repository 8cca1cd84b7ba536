"""Messages of several streams that belong to the same moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from omnivla_vision.errors import VisionError

QUEUE = 10  # messages of each stream that wait for the others
# A stamp this much older than the one before it is a new beginning, not a straggler.
RESTART_NS = 1_000_000_000


class MissingMessageFiltersError(VisionError):
    """Pairing needs message_filters, which is not installed."""


class Pairing:
    """Collects one message of each stream with (nearly) the same stamp.

    Args:
        streams: how many there are.
        slop_s: by how much the stamps may differ; None for not at all.
        complete: called with one message of each stream, in the order of the streams.

    Raises:
        MissingMessageFiltersError: message_filters cannot be imported.
    """

    def __init__(self, streams: int, slop_s: float | None, complete: Callable[[Sequence[Any]], None]) -> None:
        try:
            import message_filters
        except ImportError as error:
            raise MissingMessageFiltersError(
                "pairing several streams by time needs the ROS package message_filters, and importing it failed "
                f"({error}); install it with: apt install ros-$ROS_DISTRO-message-filters"
            ) from error
        self._library = message_filters
        self._slop_s = slop_s
        self._complete = complete
        self._newest_ns = [0] * streams
        self._filters: list[Any] = []
        self.reset()

    def add(self, stream: int, message: Any, stamp_ns: int) -> None:
        """A message of one stream arrived. It must have a `header`, whose stamp is `stamp_ns`."""
        # The synchronizer throws out the lowest stamps first: after a bag starts over it would keep what is past.
        if stamp_ns < self._newest_ns[stream] - RESTART_NS:
            self.reset()
        self._newest_ns[stream] = stamp_ns
        self._filters[stream].signalMessage(message)

    def reset(self) -> None:
        """Forget the messages that wait for others."""
        self._newest_ns = [0] * len(self._newest_ns)
        self._filters = [self._library.SimpleFilter() for _ in self._newest_ns]
        if self._slop_s is None:
            synchronizer = self._library.TimeSynchronizer(self._filters, QUEUE)
        else:
            synchronizer = self._library.ApproximateTimeSynchronizer(self._filters, QUEUE, self._slop_s)
        synchronizer.registerCallback(lambda *messages: self._complete(messages))
