"""Files and folders that a command writes: looked at before the work, and written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omnivla_vision.errors import VisionError

# What file systems give out at once: where this does not fit, nothing does.
BLOCK = 4096
_PREFIX = ".unfinished-"


class OutputError(VisionError):
    """A file or folder cannot be written.

    Args:
        path: the file or folder.
        found: what is in the way.
        advice: what to do about it.
    """

    def __init__(self, path: Path, found: str, advice: str = "") -> None:
        advice = advice or "free some space, correct the permissions, or name another place"
        super().__init__(f"cannot write {path}: found {found}; expected a place that can be written; {advice}")


def check_file(path: Path, size: int = BLOCK) -> None:
    """Make sure that `path` can be written, before the work whose result will be in it. Leaves nothing behind.

    Args:
        path: the file; it need not exist, its folder must.
        size: bytes for which there must be space.

    Raises:
        OutputError: there is no such folder, or it takes no file of that size; or `path` is a folder.
    """
    with explaining(path):
        if path.is_dir():
            raise OutputError(path, "a folder of that name", "name a file")
        if _is_special(path):
            return
        folder = path.resolve().parent
        if not folder.is_dir():
            raise OutputError(path, f"no folder {folder}", f"make it (mkdir -p {folder}), or name another")
        _probe(path, folder, size)


def make_folder(path: Path, size: int = BLOCK) -> None:
    """Create a folder with its parents, if it is not there, and make sure that files can be written in it.

    Args:
        path: the folder.
        size: bytes for which there must be space.

    Raises:
        OutputError: it cannot be created, or takes no file of that size.
    """
    with explaining(path):
        path.mkdir(parents=True, exist_ok=True)
        _probe(path, path, size)


def check_new_folder(path: Path) -> None:
    """Make sure that the folder `path` can be made, before the work whose result will be in it.

    Raises:
        OutputError: there is something at `path` already, or nothing can be written beside it.
    """
    with explaining(path):
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise OutputError(path, "something of that name", "remove it, or name another folder")
        parent = path.resolve().parent
        if not parent.is_dir():
            raise OutputError(path, f"no folder {parent}", f"make it (mkdir -p {parent}), or name another")
        _probe(path, parent, BLOCK)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Gives an empty folder beside `path` that becomes `path` at the end; when the block fails nothing is left.

    Raises:
        OutputError: see `check_new_folder`; or the system refused to write.
    """
    check_new_folder(path)
    target = path.resolve()
    unfinished = target.with_name(f"{_PREFIX}{os.getpid()}")
    try:
        with explaining(path):
            unfinished.mkdir()
            yield unfinished
            unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Gives a name to write to, beside `path` and with its extension; the file takes the place of `path` at the end.

    When the block fails nothing is left, and what was at `path` stays. What is no ordinary file (/dev/stdout) is
    written directly.

    Raises:
        OutputError: the system refused to write.
    """
    if _is_special(path):
        with explaining(path):
            yield path
        return
    target = path.resolve()
    unfinished = target.with_name(f"{_PREFIX}{os.getpid()}{target.suffix}")
    try:
        with explaining(path):
            yield unfinished
            unfinished.replace(target)
    finally:
        with suppress(OSError):
            unfinished.unlink()


def write(path: Path, content: bytes | str) -> None:
    """Write a file whole, or not at all; see `writing`.

    Raises:
        OutputError: the system refused to write.
    """
    with writing(path) as file:
        file.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Around whatever writes `path`: the system's errors become sentences.

    Raises:
        OutputError: the system refused to write.
    """
    try:
        yield
    except FileExistsError as error:
        raise OutputError(path, "a file of that name", "name a folder") from error
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error


def _probe(path: Path, folder: Path, size: int) -> None:
    # Not os.access: only writing shows quotas and what a file system does not tell.
    with tempfile.NamedTemporaryFile(dir=folder, prefix=_PREFIX) as file:
        file.write(bytes(BLOCK))
        file.flush()
    disk = shutil.disk_usage(folder)
    if disk.total and disk.free < size:  # some network file systems say nothing
        raise OutputError(path, f"{disk.free / 1e6:.1f} MB free, and {size / 1e6:.1f} MB to write")


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()
