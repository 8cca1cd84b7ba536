"""rosbag2's .db3 files."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from omnivla_vision.replay.storage.base import Contents, Record, type_name


class Sqlite3File:
    """One .db3 file, and the write-ahead log that a recorder which was killed left beside it.

    Raises:
        sqlite3.Error: not a database, or not a bag.
    """

    def __init__(self, path: Path) -> None:
        log = path.with_name(f"{path.name}-wal")
        # `immutable` needs no file beside the database, so that it works on a read-only disk; but it overlooks the log.
        mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        # As a URI, in which # and ? and % are escaped. A prefetching thread reads what this one has opened.
        self._database = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, check_same_thread=False)
        counts = dict(self._database.execute("SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id"))
        self.contents = Contents()
        self._topics: dict[int, tuple[str, str]] = {}
        for number, name, msgtype, encoding in self._database.execute(
            "SELECT id, name, type, serialization_format FROM topics ORDER BY id"
        ):
            key = self._topics[number] = (name, type_name(msgtype, encoding))
            self.contents.counts[key] = self.contents.counts.get(key, 0) + counts.get(number, 0)
        first, last = self._database.execute("SELECT MIN(timestamp), MAX(timestamp) FROM messages").fetchone()
        self.contents.start_ns, self.contents.end_ns = first or 0, last or 0

    def records(self, topics: Collection[str], start_ns: int | None, stop_ns: int | None) -> Iterator[Record]:
        """See `Storage`."""
        numbers = [number for number, (name, _) in self._topics.items() if name in topics]
        condition, values = f"topic_id IN ({','.join('?' * len(numbers))})", [*numbers]
        for comparison, limit in ((">=", start_ns), ("<", stop_ns)):
            if limit is not None:
                condition += f" AND timestamp {comparison} ?"
                values.append(limit)
        query = f"SELECT topic_id, timestamp, data FROM messages WHERE {condition} ORDER BY timestamp, id"
        for number, time_ns, data in self._database.execute(query, values):
            name, msgtype = self._topics[number]
            yield Record(topic=name, msgtype=msgtype, time_ns=time_ns, data=data)

    def close(self) -> None:
        """Close the database."""
        self._database.close()
