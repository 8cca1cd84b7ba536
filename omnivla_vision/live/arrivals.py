"""How often something arrives, and how old it is then."""

from __future__ import annotations

from collections import deque

WINDOW_S = 5.0


class Arrivals:
    """The arrivals of one stream over the last seconds. Times are time.monotonic(), ages seconds, maybe negative."""

    def __init__(self) -> None:
        self.total = 0
        self.last_s: float | None = None
        self.age_s: float | None = None
        self._recent: deque[float] = deque()

    def add(self, now_s: float, age_s: float) -> None:
        """Something arrived."""
        self.total += 1
        self.last_s, self.age_s = now_s, age_s
        self._recent.append(now_s)
        self._forget(now_s)

    def rate_hz(self, now_s: float) -> float:
        """Arrivals per second over the window, or since the first one in it."""
        self._forget(now_s)
        span = now_s - self._recent[0] if self._recent else 0.0
        return (len(self._recent) - 1) / span if len(self._recent) > 1 and span > 0 else 0.0

    def silence_s(self, now_s: float) -> float | None:
        """Seconds since the last arrival, or None before the first."""
        return None if self.last_s is None else now_s - self.last_s

    def _forget(self, now_s: float) -> None:
        while self._recent and self._recent[0] < now_s - WINDOW_S:
            self._recent.popleft()
