"""git-lfs pointers: the few lines that git leaves in place of a large file which was not downloaded."""

from __future__ import annotations

from pathlib import Path

from omnivla_vision.checkpoint.errors import LfsPointerError

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_START = b"version https://git-lfs.github.com/spec/"
_MAX_BYTES = 1024


def refuse_pointer(file: Path) -> None:
    """To be called where a file is not what its name says, before it is called damaged.

    Raises:
        LfsPointerError: it is a pointer.
    """
    with file.open("rb") as stream:
        text = stream.read(_MAX_BYTES)
    if not text.startswith(_START):
        return
    values = dict(line.split(" ", 1) for line in text.decode(errors="replace").splitlines() if " " in line)
    raise LfsPointerError(
        file,
        found="a git-lfs pointer, which is what git leaves in place of a large file",
        expected=f"the file itself, {values.get('size', 'unknown')} bytes",
        advice="run git lfs pull in its repository (git lfs install first), or download the file",
    )
