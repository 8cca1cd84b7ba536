"""Something that happens once a second whatever else the process is busy with."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Heartbeat:
    """Calls `beat` in a thread of its own, every `period_s` of wall time, until `stop`.

    A timer of the executor would be silent while the node loads its network, which can take minutes, and one that
    follows the node's clock would stand still while a simulation does.
    """

    def __init__(self, period_s: float, beat: Callable[[], None]) -> None:
        self._period_s = period_s
        self._beat = beat
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def now(self) -> None:
        """Call `beat` in the caller's thread, never at the same time as another."""
        with self._lock:
            if not self._stopping.is_set():
                self._beat()

    def stop(self) -> None:
        """No call from now on."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._period_s):
            self.now()
