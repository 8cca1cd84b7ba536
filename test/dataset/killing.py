"""A recording during which something dies, once or every time; workers on other nodes import this."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from omnivla_vision.dataset.recording import SourceFrame
from omnivla_vision.dataset.recordings.bag_recording import BagRecording
from test.processes import wait_for


@dataclass(frozen=True)
class Killing:
    """Kills after a few frames.

    Attributes:
        recording: a real one.
        victim: the process that reads, or the raylet above it, or nobody: others only wait for this one.
        traces: a folder, in which every killing leaves a file.
        times: how often at most, of all recordings with these traces.
        node: only there, and elsewhere nothing is read before it has happened; empty for everywhere.
    """

    recording: BagRecording
    victim: Literal["worker", "raylet", "nobody"]
    traces: Path
    times: int = 1
    node: str = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked while it is being unpickled
            raise AttributeError(name)
        return getattr(self.recording, name)

    def frames(self) -> Generator[SourceFrame, None, None]:
        if not self._here():
            wait_for((self.traces / "0").exists, f"a killing on {self.node}")
        frames = self.recording.frames()
        yield from islice(frames, 3)
        if self._here() and self._first() and self.victim != "nobody":
            os.kill(os.getppid() if self.victim == "raylet" else os.getpid(), signal.SIGKILL)
            time.sleep(60)  # Ray ends a process whose raylet is gone
        yield from frames

    def _here(self) -> bool:
        raylet = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
        return not self.node or f"--node_ip_address={self.node}".encode() in raylet

    def _first(self) -> bool:
        for number in range(self.times):
            try:
                (self.traces / str(number)).touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False
