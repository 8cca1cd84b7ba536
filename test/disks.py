"""Disks that are full, or that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Sets a limit for the size of files, as a quota would, then goes on as `python -c` does.
LIMITED = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2); "
MAIN = "from omnivla_vision.cli import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """An empty file system of its own at `folder`; the test is skipped where this process may not mount."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """`folder` as it is, mounted so that nothing can be written in it."""
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True, check=False).returncode
    ):
        pytest.skip("this process may not mount a file system")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass


def limited(code: str, limit: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code that can write no file beyond `limit` bytes."""
    command = [sys.executable, "-c", LIMITED + code, str(limit), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def as_nobody_known(code: str, *arguments: object, home: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python code as a user that /etc/passwd does not have, who can read everything, and write what it owns."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become another user")
    readable = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    user = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", *readable]
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    environment |= {} if home is None else {"HOME": home}
    command: Sequence[str] = [*user, sys.executable, "-c", f"import sys; {code}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False, env=environment)
