"""The processes that this one has started, and those that they have: compilers, measured engines, nodes."""

from __future__ import annotations

import ctypes
import os
import signal
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans() -> None:
    """From now on a process whose parent dies becomes this one's child: a compiler does not outlive its driver."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_children() -> None:
    """Kill all processes below this one, however deep, and those that they started meanwhile."""
    killed: set[int] = set()
    while found := _descendants(os.getpid()) - killed:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= found


def _descendants(pid: int) -> set[int]:
    """The process ids below one, those of zombies left out."""
    children = defaultdict(list)
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # After the program's name, which may hold anything: state, parent, ...
            state, parent = status.read_bytes().rpartition(b")")[2].split()[:2]
            if state != b"Z":
                children[int(parent)].append(int(status.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        below = children[waiting.pop()]
        found.update(below)
        waiting += below
    return found
