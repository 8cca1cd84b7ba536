"""MCAP files: chunked or not, indexed or not, whatever else is in them."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from mcap.reader import NonSeekingReader, make_reader
from mcap.records import Channel, Schema
from mcap.summary import Summary

from omnivla_vision.replay.storage.base import Contents, Record, type_name

# Without an index, messages are put in order among so many: what a recorder's threads overtake one another by.
_WINDOW = 64


class UnorderedMcapError(ValueError):
    """The file has no index, and its messages are not in the order of time."""


class McapFile:
    """One .mcap file.

    Raises:
        McapError: not a whole MCAP file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.contents = Contents()
        with path.open("rb") as stream:
            summary = make_reader(stream).get_summary() or Summary()
        statistics, described = summary.statistics, _describes_channels(summary)
        self._indexed = described and _indexes_chunks(summary)
        if not described or statistics is None:
            self._scan()
            return
        for number, channel in summary.channels.items():
            key = _key(channel, summary.schemas.get(channel.schema_id))
            messages = statistics.channel_message_counts.get(number, 0)
            self.contents.counts[key] = self.contents.counts.get(key, 0) + messages
        self.contents.start_ns, self.contents.end_ns = statistics.message_start_time, statistics.message_end_time
        if sum(self.contents.counts.values()) != statistics.message_count:
            self._scan()

    def records(self, topics: Collection[str], start_ns: int | None, stop_ns: int | None) -> Iterator[Record]:
        """See `Storage`. Raises UnorderedMcapError."""
        with self._path.open("rb") as stream:
            if self._indexed:
                reader: Any = make_reader(stream, validate_crcs=True)
            else:
                reader = NonSeekingReader(stream, validate_crcs=True)
            messages = reader.iter_messages(
                topics, log_time_order=self._indexed, starting_at=start_ns, ending_before=stop_ns
            )
            records = (
                Record(
                    topic=channel.topic, msgtype=_key(channel, schema)[1], time_ns=message.log_time, data=message.data
                )
                for schema, channel, message in messages
            )
            yield from records if self._indexed else _in_order(records)

    def close(self) -> None:
        """Every reading opens the file by itself."""

    def _scan(self) -> None:
        """Count by reading everything."""
        times: list[int] = []
        self.contents = Contents()
        with self._path.open("rb") as stream:
            for schema, channel, message in NonSeekingReader(stream).iter_messages(log_time_order=False):
                key = _key(channel, schema)
                self.contents.counts[key] = self.contents.counts.get(key, 0) + 1
                times = [min([*times[:1], message.log_time]), max([*times[1:], message.log_time])]
        if times:
            self.contents.start_ns, self.contents.end_ns = times


def _describes_channels(summary: Summary) -> bool:
    """Whether it repeats every channel that it names, and its schema; every part of a summary is optional."""
    named = {number for index in summary.chunk_indexes for number in index.message_index_offsets}
    if summary.statistics is not None:
        named.update(summary.statistics.channel_message_counts)
    known = {0, *summary.schemas}
    return (
        bool(summary.channels)
        and named <= summary.channels.keys()
        and all(channel.schema_id in known for channel in summary.channels.values())
    )


def _indexes_chunks(summary: Summary) -> bool:
    """Whether all messages are found through it, as far as it says how many chunks there are."""
    chunks = len(summary.chunk_indexes)
    return bool(chunks) and (summary.statistics is None or summary.statistics.chunk_count == chunks)


def _key(channel: Channel, schema: Schema | None) -> tuple[str, str]:
    return channel.topic, type_name(schema.name if schema is not None else "no type", channel.message_encoding)


def _in_order(records: Iterator[Record]) -> Iterator[Record]:
    waiting: list[tuple[int, int, Record]] = []
    numbers, last_ns = count(), 0
    for record in records:
        if record.time_ns < last_ns:
            raise UnorderedMcapError(
                f"a message at {record.time_ns} ns comes more than {_WINDOW} messages late, and there is no index; "
                "`mcap sort` makes an ordered file with one"
            )
        heapq.heappush(waiting, (record.time_ns, next(numbers), record))
        if len(waiting) > _WINDOW:
            last_ns, _, first = heapq.heappop(waiting)
            yield first
    yield from (heapq.heappop(waiting)[2] for _ in range(len(waiting)))
