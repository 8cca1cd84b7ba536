"""One run at a time writes into a folder; the kernel lets go of the lock of a process that dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omnivla_vision.dataset.errors import DatasetBusyError

LOCK = ".writer.lock"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of an existing folder.

    Raises:
        DatasetBusyError: another run is at work in it.
        OSError: the folder cannot be written.
    """
    path = folder / LOCK
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino
        except BlockingIOError:
            same = False
        if not same:  # locked by another run, or removed by one between its opening and its locking
            raise DatasetBusyError(
                f"found another run at work in {folder}; expected to be alone; wait for its end, or name another place "
                "with --out"
            )
        yield
    finally:
        os.close(descriptor)
