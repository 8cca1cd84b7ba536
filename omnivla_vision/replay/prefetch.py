"""Work ahead in a thread: the next items are made while the present one is used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class _End:
    error: BaseException | None


class Prefetch(Generic[Item]):
    """Iterate over `make()`, which runs in a thread of its own, at most `depth` items ahead; a context manager.

    What `make()` raises is raised here, after the items before it. Leaving the `with` block ends the thread.
    """

    def __init__(self, make: Callable[[], Generator[Item, None, None]], *, depth: int = 4) -> None:
        self._make = make
        self._queue: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)

    def __iter__(self) -> Iterator[Item]:
        while not isinstance(item := self._queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def __enter__(self) -> Prefetch[Item]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        while self._thread.is_alive():  # it may wait for room
            with suppress(queue.Empty):
                self._queue.get(timeout=0.05)
        self._thread.join()

    def _run(self) -> None:
        try:
            # The iterator is made, used and closed in this thread: a database allows no other.
            with closing(self._make()) as items:
                for item in items:
                    if self._stopping.is_set():
                        return
                    self._queue.put(item)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked for the items
            self._queue.put(_End(error))
        else:
            self._queue.put(_End(None))
