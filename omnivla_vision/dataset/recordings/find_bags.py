"""Bags below folders, as people keep them: folders of rosbag2, single files, folders of both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from omnivla_vision.dataset.errors import NoRecordingError
from omnivla_vision.replay.storage.folder import METADATA, STORAGES

_DIGITS = re.compile(r"(\d+)")


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Every bag at or below the paths: in the paths' order, below a folder in that of names, `2` before `10`.

    A folder with metadata.yaml is one bag, and so is one whose files are all called after it (`drive/drive_0.mcap`), as
    a recorder that was killed leaves them. In any other folder each .mcap and .db3 file is a bag by itself.

    Raises:
        NoRecordingError: there is nothing at one of the paths, or no bag below it.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise NoRecordingError(f"found nothing at {path}; expected a bag, or a folder of bags; check the path")
        bags = list(_below(path))
        if not bags:
            raise NoRecordingError(
                f"found no bag in {path}; expected folders with {METADATA}, or files ending in {' or '.join(STORAGES)}"
            )
        found |= dict.fromkeys(bags)
    return list(found)


def _below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    inside = sorted(path.iterdir(), key=natural)
    files = [item for item in inside if item.is_file() and STORAGES.keys() & set(item.suffixes[-2:])]
    name = path.resolve().name
    if (path / METADATA).exists() or (files and all(re.match(rf"{re.escape(name)}_\d+\.", f.name) for f in files)):
        yield path
        return
    for item in inside:
        if item in files:
            yield item
        elif item.is_dir() and not item.is_symlink():  # a link upwards would go round for ever
            yield from _below(item)


def natural(path: Path) -> list[str | int]:
    """For sorting by name, `2` before `10`."""
    return [int(part) if part.isdigit() else part for part in _DIGITS.split(path.name)]
