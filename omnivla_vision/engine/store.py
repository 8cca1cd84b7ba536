"""Where bundles live: one folder that belongs to this user, in which each bundle is built once and appears whole."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omnivla_vision.engine.bundle import Bundle, BundleError, ForeignBundleError, bundle_name, check, seal

logger = logging.getLogger(__name__)

UNFINISHED = ".unfinished-"
SET_ASIDE = "set-aside"
REASON = "REASON.txt"


class MissingBundleError(BundleError):
    """There is no such bundle, and none may be built."""


def default_store() -> Path:
    """$XDG_CACHE_HOME/omnivla_vision, or ~/.cache/omnivla_vision."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "omnivla_vision"


class BundleStore:
    """A folder of bundles.

    Args:
        root: the folder; created with mode 0700.
        read_only: never write, as on a signed image: bundles are used or refused, not built and not set aside.

    Raises:
        ForeignBundleError: the folder belongs to another user.
    """

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self.root = root
        self.read_only = read_only
        if not read_only:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if root.stat().st_uid != os.geteuid():
                raise ForeignBundleError(
                    f"{root} belongs to user {root.stat().st_uid}, expected {os.geteuid()}; choose another bundle_dir"
                )
            root.chmod(0o700)

    def get(self, key: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any]]) -> Bundle:
        """The bundle for `key`: the one that is there and whole, or a new one.

        Args:
            key: everything that the content depends on.
            build: fills an empty folder and returns the manifest's notes; called by one process at a time.

        Raises:
            BundleError: in a read-only store, whatever is wrong with the bundle; MissingBundleError if there is none.
        """
        path = self.root / bundle_name(key)
        if self.read_only:
            if not path.exists():
                raise MissingBundleError(
                    f"found no bundle {path.name} in {self.root}, and it is read-only; expected one for {dict(key)}; "
                    "build it on this kind of machine with `omnivla-vision build`"
                )
            return check(path, key)
        with self._lock(path.name):
            if path.exists():
                try:
                    return check(path, key)
                except BundleError as error:
                    self._set_aside(path, str(error))
            return self._build(path, key, build)

    def _build(self, path: Path, key: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any]]) -> Bundle:
        unfinished = self.root / f"{UNFINISHED}{path.name}"
        # Whoever left it there is dead: the lock is ours.
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        try:
            notes = build(unfinished)
            seal(unfinished, key, notes)
            unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        # Read back: what was written is what will be used.
        return check(path, key)

    def _set_aside(self, path: Path, reason: str) -> None:
        """Keep the newest refused bundle of each name, for whoever wants to know what happened to it."""
        aside = self.root / SET_ASIDE / path.name
        logger.warning("setting a bundle aside: %s", reason)
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside)
        if aside.is_dir() and not aside.is_symlink():
            (aside / REASON).write_text(reason + "\n")

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Held by one process; the kernel lets go of it when that dies, however it dies."""
        with (self.root / f".{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("waiting for another process that builds %s", name)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
