"""SIGINT and SIGTERM end a program cleanly, however many come and whenever they do.

A launch file forwards Ctrl-C, and the terminal sends it too, so the second one meets a program that is already ending;
and Python's own answer, an exception wherever the program happens to be, ends it there with a traceback. So a program
goes through three phases: `exit_at_once`, `note`, `ignore`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_came = False
_interruptible = False


def exit_at_once() -> None:
    """End with exit code 0 where a signal finds the program: while it imports, when there is nothing to clean up."""
    _install(lambda number, frame: os._exit(0))


def note() -> None:
    """Only remember that a signal came. rclpy's own handler, which this one does not replace, wakes the executor."""
    _install(_note)


def ignore() -> None:
    """Nothing a signal could ask for is left to do; also the interpreter's own end stays undisturbed."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def came() -> bool:
    """Whether a signal came since `note`."""
    return _came


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this a signal raises KeyboardInterrupt, once, for work of minutes that nobody wants to wait for."""
    global _interruptible
    _interruptible = True
    try:
        if _came:  # just before
            raise KeyboardInterrupt
        yield
    finally:
        _interruptible = False


def _note(number: int, frame: FrameType | None) -> None:
    global _came, _interruptible
    _came = True
    if _interruptible:
        _interruptible = False  # a second one must not meet what the first one set off
        raise KeyboardInterrupt


def _install(handler: object) -> None:
    for number in _SIGNALS:
        signal.signal(number, handler)  # type: ignore[arg-type]
