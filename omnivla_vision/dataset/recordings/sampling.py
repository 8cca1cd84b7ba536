"""Which frames become rows: all, or one every so often, by their stamps."""

from __future__ import annotations

from omnivla_vision.replay.camera_clock import RESTART_NS


class Sampler:
    """Passes the first frame, and after that the one nearest to every point of a grid that begins at its stamp.

    Which one is nearest is told without waiting for the next: that comes as long after a frame as this one after the
    last, about. So a camera's jitter leaves no gaps. Stamps that go back by
    more than a moment start over. Without a spacing every frame passes.

    Args:
        every_ns: the grid's spacing; 0 for none.
    """

    def __init__(self, every_ns: int) -> None:
        self._every_ns = every_ns
        self._start_ns = self._last_ns = -1
        self._point = -1

    def wants(self, stamp_ns: int) -> bool:
        """Whether the next frame of the recording becomes a row; asked once for each, in order."""
        if not self._every_ns:
            return True
        if self._point < 0 or stamp_ns < self._last_ns - RESTART_NS:
            self._start_ns = self._last_ns = stamp_ns
            self._point = -1
        interval_ns = min(max(0, stamp_ns - self._last_ns), self._every_ns)
        self._last_ns = stamp_ns
        point = (2 * (stamp_ns - self._start_ns) + interval_ns) // (2 * self._every_ns)
        if point <= self._point:
            return False
        self._point = point
        return True


def sampling_name(
    every_ns: int, start_s: float = 0.0, duration_s: float | None = None, frame_rate: float | None = None
) -> str:
    """For `Description.sampling`; `frame_rate` is what the user has said of pictures that have no stamps."""
    every = f"every {every_ns / 1e9:g} s" if every_ns else "every frame"
    start = f" from {start_s:g} s on" if start_s else ""
    stretch = "" if duration_s is None else f" for {duration_s:g} s"
    return every + start + stretch + ("" if frame_rate is None else f", pictures at {frame_rate:g} Hz")
