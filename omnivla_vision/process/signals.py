"""SIGINT and SIGTERM end a program, soon and cleanly, however many come, whenever they do, and whatever it is doing.

A launch file forwards Ctrl-C, and the terminal sends it too, so the second one meets a program that is already ending;
and Python's own answer, an exception wherever the program happens to be, ends it there with a traceback. So a program
goes through three phases: `exit_at_once`, `note`, `ignore`.

Python's handlers run between two steps of the main thread, and that may be inside a library's C++ code, which takes no
steps for minutes, or drops the exception that a handler raised. So a thread counts the seconds from the first signal
on, and ends the process when there are too many.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from omnivla_vision.process.children import adopt_orphans, kill_children

# What an orderly end may take. systemd waits for 90 s, `docker stop` for 10, ROS's launch for 5; a robot should not.
GRACE_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_came = 0
_interruptible = False


def exit_at_once() -> None:
    """End with exit code 0 where a signal finds the program: while it imports, when there is nothing to clean up."""
    _install(lambda number, frame: os._exit(0))


def note(*, grace_s: float = GRACE_S, code: Callable[[int], int] = lambda number: 0) -> None:
    """Remember that a signal came, and see to it that the program ends.

    rclpy's own handler, which this one does not replace, wakes the executor.

    Args:
        grace_s: how long the program has to end by itself; then its children are killed, and it ends where it is.
        code: the exit code in that case, from the signal's number.
    """
    adopt_orphans()
    _install(_note)
    # The C part of Python's handlers writes the signal's number there, whatever the main thread is doing.
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_end, args=(reading, grace_s, code), name="end", daemon=True).start()


def ignore() -> None:
    """Nothing a signal could ask for is left to do; also the interpreter's own end stays undisturbed."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def came() -> int:
    """The number of the first signal since `note`; 0 if none came."""
    return _came


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this a signal raises KeyboardInterrupt, once, for work of minutes that nobody wants to wait for.

    What that work has started is killed then: compilers that would go on for as long.
    """
    global _interruptible
    _interruptible = True
    try:
        if _came:  # just before
            raise KeyboardInterrupt
        yield
    finally:
        _interruptible = False
        if _came:
            kill_children()


def _note(number: int, frame: FrameType | None) -> None:
    global _came, _interruptible
    _came = _came or number
    if _interruptible:
        _interruptible = False  # a second one must not meet what the first one set off
        raise KeyboardInterrupt


def _end(signals: int, grace_s: float, code: Callable[[int], int]) -> None:
    number = 0
    while number not in _SIGNALS:
        number = os.read(signals, 1)[0]
    time.sleep(grace_s)
    kill_children()
    os._exit(code(number))


def _install(handler: object) -> None:
    for number in _SIGNALS:
        signal.signal(number, handler)  # type: ignore[arg-type]
