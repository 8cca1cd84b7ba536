"""Rows out of a dataset: by Lance in this process, or, where that would hang, in a process beside it.

Lance's threads do not survive a fork, and a reader that waits for them waits for ever, or crashes. DataLoader workers
are forks on Linux before Python 3.14, so that in a fork of a process that has Lance, another process reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.spawn import get_executable
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from omnivla_vision.dataset.errors import DatasetReadError
from omnivla_vision.dataset.store import open_dataset


class Reader(Protocol):
    """Reads rows at random."""

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Rows, in the order asked for.

        Args:
            rows: int64 [n], numbers in the dataset.
            columns: names; of a struct's field, with dots.

        Raises:
            DatasetReadError: the storage refuses, or has less.
        """
        ...


class _Fork:
    """Whether this process is a fork of one that had Lance."""

    had_lance = False

    @classmethod
    def note(cls) -> None:
        cls.had_lance = cls.had_lance or "lance" in sys.modules


os.register_at_fork(after_in_child=_Fork.note)


def open_reader(uri: str, storage_options: Mapping[str, str] | None) -> Reader:
    """What reads in this process.

    Raises:
        DatasetSupportMissingError, NotATokenDatasetError: see `open_dataset`.
        DatasetReadError: the process beside this one cannot start.
    """
    return ProcessReader(uri, storage_options) if _Fork.had_lance else LanceReader(uri, storage_options)


class LanceReader:
    """Lance, in this process.

    Attributes:
        dataset: Lance's, as it was when this was made.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None) -> None:
        self.dataset: Any = open_dataset(uri, storage_options)
        self._uri = uri

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """See `Reader`."""
        try:
            return self.dataset.take(rows, columns=list(columns))
        except (OSError, ValueError, RuntimeError) as error:  # Lance's own derive from these
            raise _refused(self._uri, str(error)) from error


class ProcessReader:
    """Lance in a process beside this one, which ends with this one.

    A request is a line of JSON; the answer another one that says what failed, or "", and then Arrow's stream.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [get_executable(), "-m", "omnivla_vision.dataset.training.reader_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The same modules as here, and none of the current folder's.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"},
        )
        with self._lock:  # not as arguments: those of a process can be read by all
            self._ask({"uri": uri, "storage_options": dict(storage_options or {})})

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """See `Reader`."""
        with self._lock:
            self._ask({"rows": rows.tolist(), "columns": list(columns)})
            return pa.ipc.open_stream(self._process.stdout).read_all()

    def _ask(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            raise _refused(self._uri, "that the process that reads it has ended")
        if problem := json.loads(answer):
            raise DatasetReadError(problem)


def _refused(uri: str, found: str) -> DatasetReadError:
    return DatasetReadError(
        f"cannot read {uri}: found {found.splitlines()[0]}; expected the rows that it had when it was opened; see that "
        "its storage can be reached and that nobody removes it meanwhile, and start again"
    )
