"""What becomes rows of a recording, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass

from omnivla_vision.images.raw import MAX_PIXELS
from omnivla_vision.images.stamps import NS_PER_S


@dataclass(frozen=True, kw_only=True)
class RowOptions:
    """What becomes rows.

    Attributes:
        cameras: names or topics; empty: of a bag the only one there is, of a LeRobot dataset all.
        every_ns: see `Sampler`.
        start_s, duration_s: seconds into each recording, and how much of it; None: to its end.
        images: whether frames are kept as JPEG.
        max_pixels: larger images are refused.
    """

    cameras: tuple[str, ...] = ()
    every_ns: int = 0
    start_s: float = 0.0
    duration_s: float | None = None
    images: bool = False
    max_pixels: int = MAX_PIXELS

    @property
    def by_time(self) -> bool:
        """Whether they ask for stamps."""
        return bool(self.every_ns or self.start_s or self.duration_s is not None)

    def expected(self, frames: int, seconds: float) -> int:
        """About how many of so many frames in that time will become rows."""
        if not self.by_time:
            return frames
        left = max(0.0, seconds - self.start_s)
        left = left if self.duration_s is None else min(left, self.duration_s)
        if self.every_ns:
            return min(frames, int(left * NS_PER_S / self.every_ns) + 1)
        return round(frames * left / seconds) if seconds else frames
