"""Which frames become rows: all, or one every so often, by their stamps."""

from __future__ import annotations

# A frame that comes by this part of the spacing too early is on time: cameras jitter, and a frame that is passed over
# would leave a gap of two.
EARLY = 0.25


class Sampler:
    """Passes the first frame, and after that one every `every_ns`, on a grid that begins at the first one's stamp.

    Stamps that go back start over. Without a spacing every frame passes.
    """

    def __init__(self, every_ns: int) -> None:
        self._every_ns = every_ns
        self._start_ns = self._last_ns = -1
        self._cell = -1

    def wants(self, stamp_ns: int) -> bool:
        """Whether the next frame of the recording becomes a row; asked once for each, in order."""
        if not self._every_ns:
            return True
        if self._cell < 0 or stamp_ns < self._last_ns:
            self._start_ns, self._cell = stamp_ns, -1
        self._last_ns = stamp_ns
        cell = int((stamp_ns - self._start_ns) / self._every_ns + EARLY)
        if cell <= self._cell:
            return False
        self._cell = cell
        return True


def sampling_name(every_ns: int, start_s: float = 0.0, duration_s: float | None = None) -> str:
    """For `Description.sampling`."""
    every = f"every {every_ns / 1e9:g} s" if every_ns else "every frame"
    start = f" from {start_s:g} s on" if start_s else ""
    return every + start + ("" if duration_s is None else f" for {duration_s:g} s")
