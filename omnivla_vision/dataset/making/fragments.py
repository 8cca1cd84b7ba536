"""Rows on their way into a dataset: written beside the network's work, and part of the dataset only once committed."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from omnivla_vision.dataset.errors import DatasetWriteError
from omnivla_vision.dataset.support import import_lance
from omnivla_vision.process.heap import trim

# Groups of rows that wait for the disk; each is some MB, see `rows.BATCH_BYTES`.
WAITING = 2
# After so many the heaps are trimmed: some hundred MB.
TRIM_EVERY = 32


class FragmentWriter:
    """Makes and writes record batches in a thread of its own; a context manager. What was not finished was never there.

    Args:
        uri: of the dataset, which exists.
        schema: the dataset's.
        storage_options: of an object store, see Lance.
    """

    def __init__(self, uri: str, schema: pa.Schema, storage_options: Mapping[str, str] | None = None) -> None:
        self._uri = uri
        self._schema = schema
        self._storage_options = storage_options
        self._batches: queue.Queue[Callable[[], pa.RecordBatch] | None] = queue.Queue(maxsize=WAITING)
        self._giving_up = False
        self._fragments: tuple[str, ...] = ()
        self._error: Exception | None = None  # the storage's
        self._raised: Exception | None = None  # by what makes a batch
        self._thread = threading.Thread(target=self._run, name="write", daemon=True)

    def write(self, make: Callable[[], pa.RecordBatch]) -> None:
        """Hand over what makes a batch; waits while the disk is slower than the network.

        Raises:
            DatasetWriteError: the storage refuses.
            Exception: as an earlier `make` has raised it.
        """
        self._put(make)

    def finish(self) -> tuple[str, ...]:
        """All batches were handed over; returns the fragments as JSON, which `TokenStore.append` takes.

        Raises:
            DatasetWriteError: the storage refuses.
            Exception: as a `make` has raised it.
        """
        self._put(None)
        self._thread.join()
        self._check()
        return self._fragments

    def __enter__(self) -> FragmentWriter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._giving_up = True
        while self._thread.is_alive():
            try:
                self._batches.put(None, timeout=0.05)
            except queue.Full:
                continue
            self._thread.join(0.05)

    def _put(self, make: Callable[[], pa.RecordBatch] | None) -> None:
        while True:
            self._check()
            try:
                return self._batches.put(make, timeout=0.2)
            except queue.Full:
                continue

    def _check(self) -> None:
        if self._raised is not None:
            raise self._raised
        if self._error is not None:
            raise DatasetWriteError(
                f"cannot write into {self._uri}: found {self._error}; expected a place with room that can be written; "
                "free some space, or correct the permissions, and run the command again: it goes on where it stopped"
            ) from self._error

    def _incoming(self) -> Iterator[pa.RecordBatch]:
        number = 0
        while (make := self._batches.get()) is not None:
            number += 1
            if number % TRIM_EVERY == 0:
                trim()
            try:
                batch = make()
            except Exception as error:  # Lance would make a text of it
                self._raised = error
                raise
            yield batch
        if self._giving_up:
            raise InterruptedError  # so that nothing half written passes for a fragment

    def _run(self) -> None:
        lance = import_lance()
        try:
            fragments = lance.fragment.write_fragments(
                pa.RecordBatchReader.from_batches(self._schema, self._incoming()),
                self._uri,
                schema=self._schema,
                mode="append",
                storage_options=self._storage_options,
            )
            self._fragments = tuple(json.dumps(fragment.to_json()) for fragment in fragments)
        except Exception as error:  # noqa: BLE001 - Lance raises what its storage raises; told by the thread that writes
            self._error = error
