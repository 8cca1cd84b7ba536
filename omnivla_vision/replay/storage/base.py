"""What every storage gives: topics with counts, and raw messages in the order of the recorder's clock."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

CDR = "cdr"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One message as it was recorded: `data` is its CDR bytes, `time_ns` the recorder's clock, not the header's."""

    topic: str
    msgtype: str
    time_ns: int
    data: bytes


@dataclass(kw_only=True)
class Contents:
    """What a storage holds.

    Attributes:
        counts: messages by topic and type; a topic may have several types.
        start_ns, end_ns: times of the first and of the last message; 0 when there is none.
    """

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0

    def add(self, other: Contents) -> None:
        """Take another storage's contents in."""
        empty = not sum(self.counts.values())
        for key, count in other.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count
        if sum(other.counts.values()):
            self.start_ns = other.start_ns if empty else min(self.start_ns, other.start_ns)
            self.end_ns = other.end_ns if empty else max(self.end_ns, other.end_ns)


class Storage(Protocol):
    """An opened file, or several that belong together."""

    contents: Contents

    def records(self, topics: Collection[str], start_ns: int | None, stop_ns: int | None) -> Iterator[Record]:
        """The topics' messages in order, from `start_ns` up to before `stop_ns`."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


def type_name(msgtype: str, encoding: str) -> str:
    """The type, with its encoding where that is not CDR: no image that is read here has such a type."""
    return msgtype if encoding == CDR else f"{msgtype} in {encoding or 'no encoding'}"
