"""The folder of a store: where it is, whether anything can be written in it, and the errors of its disk."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omnivla_vision.engine.base import EngineError
from omnivla_vision.engine.bundle import ForeignBundleError

# What the system says of a disk that takes no more.
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


class StoreError(EngineError):
    """Nothing can be kept in the store: no folder, no permission, no space. An engine without a bundle can still run.

    Args:
        root: the store's folder.
        found: what is in the way.
    """

    def __init__(self, root: Path | str, found: str) -> None:
        super().__init__(
            f"no engine can be kept in {root}: found {found}; expected a folder that user {os.geteuid()} can write to, "
            "with space; make one, or name another with bundle_dir (or XDG_CACHE_HOME)"
        )


def default_store() -> Path:
    """$XDG_CACHE_HOME/omnivla_vision, or ~/.cache/omnivla_vision.

    Raises:
        StoreError: there is no home either: a container with a user that its /etc/passwd does not have.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "omnivla_vision"
    return expand_store("~/.cache/omnivla_vision")


def expand_store(folder: str | Path) -> Path:
    """The folder of a store, `~` replaced.

    Raises:
        StoreError: there is no such home.
    """
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        reason = f"no home directory (HOME is not set, and user {os.geteuid()} is not in /etc/passwd)"
        raise StoreError(folder, reason) from error


@contextmanager
def keeping(folder: Path, *, only: frozenset[int] | None = None) -> Iterator[None]:
    """Around whatever writes into a store: the system's errors become `StoreError`, whichever library met them.

    Args:
        folder: the store's.
        only: which of the system's error numbers; all of them if None.

    Raises:
        StoreError: nothing could be written in `folder`.
    """
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if isinstance(error, EngineError) or number is None or (only and number not in only):
            raise
        named = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        raise StoreError(folder, os.strerror(number) + named) from error


def _error_number(error: Exception) -> int | None:
    """The system's, if it was the system that refused. Libraries in Rust (safetensors) keep it in their words only."""
    if match := re.search(r"\(os error (\d+)\)", str(error)):
        return int(match[1])
    return error.errno if isinstance(error, OSError) else None


def prepare(root: Path) -> str:
    """Make the folder; empty, or why nothing can be written in it.

    Raises:
        ForeignBundleError: it is another user's.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = root.stat()
    except OSError as error:
        return f"{error.strerror} ({error.filename})"
    if status.st_uid not in (0, os.geteuid()):
        raise ForeignBundleError(
            f"{root} belongs to user {status.st_uid}, expected {os.geteuid()}; choose another bundle_dir"
        )
    if not os.access(root, os.W_OK | os.X_OK, effective_ids=True):
        read_only = os.statvfs(root).f_flag & os.ST_RDONLY
        return "a read-only file system" if read_only else "a folder without permission to write"
    if status.st_uid != os.geteuid():
        return f"a folder of user {status.st_uid}"
    if status.st_mode & 0o077:
        root.chmod(0o700)
    return ""
