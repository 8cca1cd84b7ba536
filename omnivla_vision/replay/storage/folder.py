"""A bag folder: the files that metadata.yaml lists, or all where a killed recorder has written none."""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import zstandard
from ruamel.yaml import YAML

from omnivla_vision.replay.storage.base import Contents, Record, Storage, type_name
from omnivla_vision.replay.storage.mcap_file import McapFile
from omnivla_vision.replay.storage.sqlite3_file import Sqlite3File

STORAGES: dict[str, Callable[[Path], Storage]] = {".mcap": McapFile, ".db3": Sqlite3File}
METADATA = "metadata.yaml"
_COMPRESSED = ".zstd"


class Folder:
    """All files of a bag as one.

    Attributes:
        contents: what the files hold.
        promised: what metadata.yaml says that they hold, messages by topic and type; without one, what they hold.
        notes: sentences about files that were not read, or read unasked.
    """

    def __init__(self, path: Path) -> None:
        present = sorted(
            file.name
            for file in path.iterdir()
            if STORAGES.keys() & set(file.suffixes) and file.suffix in (*STORAGES, _COMPRESSED)
        )
        information = _information(path / METADATA)
        if information is None:
            names = present
            note = f"{METADATA} is missing; read were {', '.join(names)}. `ros2 bag reindex` writes one."
            if not names:
                raise FileNotFoundError(f"neither {METADATA} nor a file ending in {' or '.join(STORAGES)} is there")
        else:
            names = [PurePath(name).name for name in information["relative_file_paths"]]
            unlisted = ", ".join(name for name in present if name not in names)
            note = unlisted and f"{unlisted} was not read: {METADATA} does not list it; `ros2 bag reindex` would."
            missing = [name for name in names if not (path / name).exists()]
            if missing:
                raise FileNotFoundError(f"{METADATA} lists {', '.join(missing)}, and no such file is there")
        self.notes = (note,) if note else ()
        self.contents = Contents()
        self._files: list[Storage] = []
        with ExitStack() as stack:
            packed = [name for name in names if name.endswith(_COMPRESSED)]
            folder = stack.enter_context(TemporaryDirectory()) if packed else ""
            for name in names:
                file = _unpack(path / name, Path(folder)) if name in packed else path / name
                storage = STORAGES[file.suffix](file)
                stack.callback(storage.close)
                self._files.append(storage)
                self.contents.add(storage.contents)
            self._stack = stack.pop_all()
        self.promised = self.contents.counts if information is None else _promised(information)

    def records(self, topics: Collection[str], start_ns: int | None, stop_ns: int | None) -> Iterator[Record]:
        """See `Storage`. Files that overlap in time are merged."""
        streams = (
            file.records(topics, start_ns, stop_ns) for file in self._files if _overlaps(file, start_ns, stop_ns)
        )
        return heapq.merge(*streams, key=lambda record: record.time_ns)

    def close(self) -> None:
        """Close every file."""
        self._stack.close()


def _information(metadata: Path) -> dict[str, Any] | None:
    """None where there is no such file."""
    return YAML(typ="safe").load(metadata.read_text())["rosbag2_bagfile_information"] if metadata.exists() else None


def _promised(information: dict[str, Any]) -> dict[tuple[str, str], int]:
    promised: dict[tuple[str, str], int] = {}
    for topic in information["topics_with_message_count"]:
        about = topic["topic_metadata"]
        key = about["name"], type_name(about["type"], about["serialization_format"])
        promised[key] = promised.get(key, 0) + topic["message_count"]
    return promised


def _overlaps(file: Storage, start_ns: int | None, stop_ns: int | None) -> bool:
    """Whether anything of the file is wanted: merging looks at the first message of each."""
    return (start_ns is None or file.contents.end_ns >= start_ns) and (
        stop_ns is None or file.contents.start_ns < stop_ns
    )


def _unpack(file: Path, folder: Path) -> Path:
    unpacked = folder / file.stem
    with file.open("rb") as source, unpacked.open("wb") as target:
        shutil.copyfileobj(zstandard.ZstdDecompressor().stream_reader(source), target)
    return unpacked
