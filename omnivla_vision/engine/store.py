"""Where bundles live: one folder that belongs to this user, in which each bundle is built once and appears whole.

A folder in which nothing can be written still serves the bundles that are in it.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omnivla_vision.engine.bundle import MANIFEST, Bundle, BundleError, bundle_name, check, seal
from omnivla_vision.engine.store_folder import DISK_FULL, StoreError, keeping, prepare

logger = logging.getLogger(__name__)

UNFINISHED = ".unfinished-"
SET_ASIDE = "set-aside"
REASON = "REASON.txt"


class MissingBundleError(BundleError):
    """There is no such bundle, and none may be built."""


class BundleStore:
    """A folder of bundles.

    Args:
        root: the folder; created with mode 0700. If nothing can be written in it, its bundles can still be used.
        read_only: never write, as on a signed image: bundles are used or refused, not built and not set aside.

    Raises:
        ForeignBundleError: the folder belongs to another user than this one or root.
    """

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self.root = root
        self.read_only = read_only
        self._obstacle = "" if read_only else prepare(root)

    @property
    def writable(self) -> bool:
        """Whether anything may, and as far as can be known can, be written."""
        return not self.read_only and not self._obstacle

    def get(self, key: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any]]) -> Bundle:
        """The bundle for `key`: the one that is there and whole, or a new one.

        Args:
            key: everything that the content depends on.
            build: fills an empty folder and returns the manifest's notes; called by one process at a time.

        Raises:
            BundleError: in a read-only store, whatever is wrong with the bundle; MissingBundleError if there is none.
            StoreError: a bundle would have to be written, and cannot be.
        """
        path = self.root / bundle_name(key)
        # Without the lock, which could not be written everywhere: a bundle appears whole.
        obstacle = self._obstacle
        try:
            if path.exists():
                return check(path, key)
        except (BundleError, OSError) as error:
            if self.read_only:
                raise
            obstacle = obstacle and f"{obstacle}, and in it {error}"
        if self.read_only:
            raise MissingBundleError(
                f"found no bundle {path.name} in {self.root}, and it is read-only; expected one for {dict(key)}; "
                "build it on this kind of machine with `omnivla-vision build`"
            )
        if obstacle:
            raise StoreError(self.root, obstacle)
        with self._lock(path.name):
            if path.exists():
                try:
                    return check(path, key)  # another process was faster
                except BundleError as error:
                    self._set_aside(path, str(error))
            return self._build(path, key, build)

    def folders(self) -> list[Path]:
        """Of every bundle, whole or not, in the order of their names."""
        return sorted(path.parent for path in self.root.glob(f"[!.]*/{MANIFEST}") if path.parent.name != SET_ASIDE)

    def _build(self, path: Path, key: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any]]) -> Bundle:
        unfinished = self.root / f"{UNFINISHED}{path.name}"
        self._remove_abandoned()
        # Whoever left it there is dead: the lock is ours.
        shutil.rmtree(unfinished, ignore_errors=True)
        with keeping(self.root):
            unfinished.mkdir(mode=0o700)
        try:
            with keeping(self.root, only=DISK_FULL):
                notes = build(unfinished)
            with keeping(self.root):
                seal(unfinished, key, notes)
                unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        # Read back: what was written is what will be used.
        return check(path, key)

    def _remove_abandoned(self) -> None:
        """Remove what killed builds of other bundles left: gigabytes that nobody looks for."""
        for unfinished in self.root.glob(f"{UNFINISHED}*"):
            name = unfinished.name.removeprefix(UNFINISHED)
            with suppress(OSError), (self.root / f".{name}.lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(unfinished, ignore_errors=True)

    def _set_aside(self, path: Path, reason: str) -> None:
        """Keep the newest refused bundle of each name, for whoever wants to know what happened to it."""
        aside = self.root / SET_ASIDE / path.name
        logger.warning("setting a bundle aside: %s", reason)
        shutil.rmtree(aside, ignore_errors=True)
        with keeping(self.root):
            aside.parent.mkdir(mode=0o700, exist_ok=True)
            path.rename(aside)
            if aside.is_dir() and not aside.is_symlink():
                (aside / REASON).write_text(reason + "\n")

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Held by one process; the kernel lets go of it when that dies, however it dies."""
        with keeping(self.root):
            file = (self.root / f".{name}.lock").open("w")
        with file:
            with keeping(self.root):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    logger.info("waiting for another process that builds %s", name)
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield
