"""Where encoded sequences are kept, beside the engines' bundles: each is made once, and appears whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from omnivla_vision.engine.bundle import ForeignBundleError
from omnivla_vision.engine.store_folder import StoreError, default_store, expand_store, prepare
from omnivla_vision.goal import EncodedGoal
from omnivla_vision.goal_sequence.kept import KeptSequence, Node, Writer
from omnivla_vision.goal_sequence.landmarks import Landmarks
from omnivla_vision.goal_sequence.made_by import MadeBy
from omnivla_vision.process.scratch import scratch

FOLDER = "goal_sequences"
UNFINISHED = ".unfinished-"
# Of SHA-256, in the folders' names.
NAME_DIGITS = 32


class SequenceStore:
    """A folder of encoded sequences.

    Args:
        store: of the engines' bundles; empty for the user's cache.
        read_only: use what is there, write nothing.
    """

    def __init__(self, store: str = "", *, read_only: bool = False) -> None:
        self._obstacle = "read_only" if read_only else ""
        self._root: Path | None = None
        try:
            self._root = (expand_store(store) if store else default_store()) / FOLDER
            self._obstacle = self._obstacle or prepare(self._root)
        except StoreError as error:  # no home
            self._obstacle = str(error)
        except ForeignBundleError as error:
            self._root, self._obstacle = None, str(error)  # nor is anything of another user's taken

    def find(self, key: str) -> KeptSequence | None:
        """What was kept under a key; None if there is nothing.

        Raises:
            DamagedGoalSequenceError: there is something, and it is not whole.
        """
        folder = None if self._root is None else self._root / key[:NAME_DIGITS]
        return KeptSequence(folder) if folder is not None and folder.exists() else None

    def keeping(self, key: str, announce: Callable[[str], None]) -> Keeping:
        """A context in which a new sequence is kept, goal by goal; `announce` is told if it cannot be."""
        folder = None if self._obstacle or self._root is None else self._root / key[:NAME_DIGITS]
        return Keeping(folder, self._obstacle, announce)


class NamedStore(SequenceStore):
    """A single sequence, in a folder that somebody named.

    Args:
        folder: does not exist yet, or is empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def find(self, key: str) -> None:
        """Nothing is there."""

    def keeping(self, key: str, announce: Callable[[str], None]) -> Keeping:
        """A context in which the sequence is written."""
        return Keeping(self._folder, "", announce)


class Keeping:
    """A sequence on its way to the disk. What the disk refuses is announced, once, and stops nobody."""

    def __init__(self, folder: Path | None, obstacle: str, announce: Callable[[str], None]) -> None:
        self._folder = folder
        self._obstacle = obstacle
        self._announce = announce
        self._unfinished: Path | None = None
        self._writer: Writer | None = None
        self._undo = ExitStack()

    def __enter__(self) -> Keeping:
        if self._folder is None:
            self._give_up(self._obstacle)
            return self
        with self._guarding():
            self._unfinished = self._undo.enter_context(scratch(self._folder.parent, UNFINISHED))
            self._writer = Writer(self._unfinished)
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def add(self, goal: EncodedGoal) -> None:
        """The next goal."""
        with self._guarding():
            if self._writer is not None:
                self._writer.add(goal)

    def finish(self, nodes: tuple[Node, ...], landmarks: Landmarks, made_by: MadeBy) -> KeptSequence | None:
        """All goals were added: from now on it can be found. None if it could not be kept."""
        with self._guarding():
            if self._writer is not None and self._unfinished is not None and self._folder is not None:
                self._writer.finish(nodes, landmarks, made_by)
                shutil.rmtree(self._folder, ignore_errors=True)  # a damaged one
                self._unfinished.rename(self._folder)
                return KeptSequence(self._folder)
        return None

    @contextmanager
    def _guarding(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _give_up(self, found: str) -> None:
        self._writer = None
        self._announce(
            f"the goal sequence is not kept (found {found}): the next start encodes it again, and each goal is encoded "
            "once more when it comes into force; give the node a folder that it can write to, bundle_dir or the "
            "user's cache"
        )
