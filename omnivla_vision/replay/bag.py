"""A ROS 2 bag (an mcap or sqlite3 folder, or a single file) without ROS: its topics, and its messages as raw bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import zstandard

from omnivla_vision.errors import VisionError
from omnivla_vision.replay.storage.base import Record, Storage
from omnivla_vision.replay.storage.folder import STORAGES, Folder

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
VIDEO_PACKET = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
# The better first.
IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE, VIDEO_PACKET)


class BagError(VisionError):
    """Base of the errors about a bag."""


class BagMissingError(BagError):
    """There is nothing at the bag's path."""


class BagUnreadableError(BagError):
    """There is something at the bag's path, but it cannot be read as a ROS 2 bag."""


class TopicMissingError(BagError):
    """The bag has no such topic."""


class TopicTypeError(BagError):
    """The topic is in the bag but does not carry images."""


@dataclass(frozen=True)
class Topic:
    """One topic of a bag: its name, its type, and how many messages it has."""

    name: str
    msgtype: str
    count: int

    def __str__(self) -> str:
        return f"{self.name} ({self.msgtype}, {self.count} messages)"


class Bag:
    """An opened bag; a context manager.

    Only messages that are asked for are ever parsed: types that nobody here knows do not disturb.

    Attributes:
        path: as given.
        topics: sorted by name, with what the files hold, which metadata.yaml need not know.
        notes: sentences about files in the folder that metadata.yaml does not list.
        start_ns: time of the first message, by the recorder's clock; 0 when the bag is empty.
        duration_s: seconds from the first message to the last.

    Raises:
        BagMissingError: nothing at `path`.
        BagUnreadableError: not a readable ROS 2 bag.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise BagMissingError(
                f"found nothing at {path}; expected a ROS 2 bag folder or an .mcap file; check the path"
            )
        self.path = path
        with _refusing_broken(path):
            self._storage = _open(path)
        contents = self._storage.contents
        self._promised = self._storage.promised if isinstance(self._storage, Folder) else contents.counts
        self.notes = self._storage.notes if isinstance(self._storage, Folder) else ()
        self.topics = tuple(Topic(*key, count) for key, count in sorted(contents.counts.items()))
        self.start_ns = contents.start_ns
        self.duration_s = (contents.end_ns - contents.start_ns) / 1e9

    def promised(self, topic: Topic) -> int:
        """How many messages of a topic metadata.yaml says that there are."""
        return self._promised.get((topic.name, topic.msgtype), 0)

    def topic(self, name: str) -> Topic:
        """The image topic of that name.

        Raises:
            TopicMissingError: there is none.
            TopicTypeError: it carries something else.
        """
        found = [topic for topic in self.topics if topic.name == name]
        if not found:
            raise TopicMissingError(
                f"found no topic {name!r} in {self.path}; it has {self.listing()}; name one of these"
            )
        for topic in found:
            if topic.msgtype not in IMAGE_TYPES:
                raise TopicTypeError(
                    f"found {topic.msgtype} on topic {name!r} in {self.path}; expected {' or '.join(IMAGE_TYPES)}; "
                    f"the bag has {self.listing()}"
                )
        return found[0]

    def records(
        self, topics: Collection[str], *, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[Record]:
        """Yield the topics' messages in the order of the recorder's clock, from `start_ns` up to before `stop_ns`.

        Raises:
            BagUnreadableError: the bag breaks off.
        """
        messages = iter(self._storage.records(topics, start_ns, stop_ns))
        while True:
            # Only the parsing is guarded: what the caller raises between two messages must reach it unchanged.
            with _refusing_broken(self.path):
                found = next(messages, None)
                if found is None:
                    return
                found = _decompressed(found)
            yield found

    def listing(self) -> str:
        """The topics as a phrase for error messages."""
        return ", ".join(map(str, self.topics)) or "no topics at all"

    def close(self) -> None:
        """Close the file."""
        self._storage.close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(path: Path) -> Storage:
    if path.is_dir():
        return Folder(path)
    if path.suffix not in STORAGES:
        raise ValueError(f"a file ending in {path.suffix or 'nothing'}")
    return STORAGES[path.suffix](path)


def _decompressed(record: Record) -> Record:
    """Told by the first bytes, so that no metadata.yaml is needed: CDR begins with a zero."""
    if not record.data.startswith(zstandard.FRAME_HEADER):
        return record
    try:
        return replace(record, data=zstandard.ZstdDecompressor().decompressobj().decompress(record.data))
    except zstandard.ZstdError:
        return record  # broken as it is: it will be refused as an image, and the others go on


@contextmanager
def _refusing_broken(path: Path) -> Iterator[None]:
    """Turn whatever the parser raises on broken bytes into one reason (it has no common base class for them)."""
    try:
        yield
    except Exception as error:
        raise BagUnreadableError(
            f"{path} cannot be read as a ROS 2 bag ({type(error).__name__}: {error}); expected an .mcap or .db3 "
            "file, or a folder of them; if its recording was cut off, `mcap recover` or `ros2 bag reindex` may repair "
            "it, and `rosbags-convert` turns a ROS 1 bag into one of these"
        ) from error
