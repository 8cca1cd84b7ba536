"""What is left of a program's processes when it has ended."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

VARIABLE = "OMNIVLA_VISION_TEST_FAMILY"
TIMEOUT_S = 90.0


class Family:
    """A program and all that it starts, known by a variable of their environment, whoever their parents become."""

    def __init__(self) -> None:
        self.environment = {VARIABLE: uuid.uuid4().hex}
        self._mark = f"{VARIABLE}={self.environment[VARIABLE]}".encode()

    @property
    def members(self) -> list[str]:
        """The command lines of those that live."""
        return list(self._living().values())

    def _living(self) -> dict[int, str]:
        """Their process ids and command lines."""
        living = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._mark in (process / "environ").read_bytes().split(b"\0"):
                    line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    living[int(process.name)] = line
        return {pid: line for pid, line in living.items() if line}  # a zombie has none

    def kill(self) -> None:
        """Kill them all, and wait until they are gone."""
        for pid in self._living():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait_for_end()

    def runs(self, program: str) -> bool:
        """Whether one of their command lines has that in it."""
        return any(program in line for line in self.members)

    def wait_for_end(self) -> None:
        """What was killed may need a moment until it is gone."""
        wait_for(lambda: not self.members, f"the end of {self.members}")


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain for {what}"
        time.sleep(0.02)
