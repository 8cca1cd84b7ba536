"""A bag folder: metadata.yaml, and the files that it lists, compressed or not."""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace
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


class Folder:
    """All files of a bag as one.

    Attributes:
        contents: what the files hold.
        promised: what metadata.yaml says that they hold, messages by topic and type.
        unlisted: names of files that it does not know.
    """

    def __init__(self, path: Path) -> None:
        information: dict[str, Any] = YAML(typ="safe").load((path / METADATA).read_text())[
            "rosbag2_bagfile_information"
        ]
        names = [PurePath(name).name for name in information["relative_file_paths"]]
        missing = [name for name in names if not (path / name).exists()]
        if missing:
            raise FileNotFoundError(f"{METADATA} lists {', '.join(missing)}, and no such file is there")
        self._message_compressed, file_compressed = (
            str(information.get("compression_mode", "")).lower() == mode for mode in ("message", "file")
        )
        self.promised: dict[tuple[str, str], int] = {}
        for topic in information["topics_with_message_count"]:
            about = topic["topic_metadata"]
            key = about["name"], type_name(about["type"], about["serialization_format"])
            self.promised[key] = self.promised.get(key, 0) + topic["message_count"]
        self.unlisted = sorted(
            file.name
            for file in path.iterdir()
            if file.name not in names and STORAGES.keys() & set(file.suffixes) and file.suffix in (*STORAGES, ".zstd")
        )
        self.contents = Contents()
        self._files: list[Storage] = []
        with ExitStack() as stack:
            unpacked = stack.enter_context(TemporaryDirectory()) if file_compressed else ""
            for name in names:
                file = _unpack(path / name, Path(unpacked)) if file_compressed else path / name
                storage = STORAGES[file.suffix](file)
                stack.callback(storage.close)
                self._files.append(storage)
                self.contents.add(storage.contents)
            self._stack = stack.pop_all()

    def records(self, topics: Collection[str], start_ns: int | None, stop_ns: int | None) -> Iterator[Record]:
        """See `Storage`. Files that overlap in time are merged."""
        streams = (
            file.records(topics, start_ns, stop_ns) for file in self._files if _overlaps(file, start_ns, stop_ns)
        )
        for record in heapq.merge(*streams, key=lambda record: record.time_ns):
            if self._message_compressed:
                yield replace(record, data=zstandard.ZstdDecompressor().decompressobj().decompress(record.data))
            else:
                yield record

    def close(self) -> None:
        """Close every file."""
        self._stack.close()


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
