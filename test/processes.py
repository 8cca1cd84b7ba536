"""What is left of a program's processes when it has ended."""

from __future__ import annotations

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
        lines = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._mark in (process / "environ").read_bytes().split(b"\0"):
                    lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        return [line for line in lines if line]  # a zombie has none

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
