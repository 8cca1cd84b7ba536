"""What other topics said at a frame: each one's latest value, and its age, from a second reading of the bag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omnivla_vision.dataset.recordings.message_columns import AGE, message_reader
from omnivla_vision.dataset.recordings.value_history import Moment, Value, ValueHistory
from omnivla_vision.images.stamps import NS_PER_S
from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.decoding import FrameUndecodableError, message_types, stamp_ns
from omnivla_vision.replay.storage.base import Record

# A value that was stamped before a frame may be recorded after it: by so much of the recorder's time at most.
AHEAD_NS = NS_PER_S


class TopicValues:
    """Follows a recording's frames; a context manager.

        with TopicValues(path, {"/odom": "nav_msgs/msg/Odometry"}) as values:
            row = values.at(frame.stamp_ns, frame.recorded_ns)  # {"/odom": {..., "age_s": 0.004}}, or {"/odom": None}

    Frame and value are compared on one clock: by their headers' stamps where both have one, else by the recorder's. The
    bag is read from its beginning, so that a value is the same wherever the frames begin; at most some seconds of
    messages are kept, undecoded.

    Args:
        path: of the bag.
        topics: name -> message type, which `value_types` takes. A topic need not be in the bag; its messages of other
            types are left alone.

    Raises:
        BagError: the bag cannot be opened.
        MessageColumnError: a type that cannot become a column.
    """

    def __init__(self, path: Path, topics: Mapping[str, str]) -> None:
        self._topics = {name: _Topic(name, msgtype) for name, msgtype in topics.items()}
        self._bag = Bag(path) if topics else None  # to open one may mean to unpack it
        self._records = iter(()) if self._bag is None else self._bag.records(list(topics))
        self._next = next(self._records, None)

    def at(self, stamp_ns: int, recorded_ns: int) -> dict[str, dict[str, Any] | None]:
        """The values at the next frame.

        Args:
            stamp_ns: of the frame's header; 0 where it has none.
            recorded_ns: of the recorder's clock; not before the last frame's.

        Returns:
            topic -> the latest value that is not later than the frame, as `column_type` has it, with its age in
            seconds; None where there was none yet, or none since the clock went back.

        Raises:
            BagUnreadableError: the bag breaks off.
        """
        frame = Moment(stamp_ns=stamp_ns, recorded_ns=recorded_ns)
        for topic in self._topics.values():
            topic.history.begin(frame)
        while self._next is not None and self._next.time_ns <= recorded_ns + AHEAD_NS:
            self._topics[self._next.topic].add(self._next)
            self._next = next(self._records, None)
        return {name: topic.value(frame) for name, topic in self._topics.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what could not be used so far."""
        return tuple(note for topic in self._topics.values() for note in topic.notes())

    def __enter__(self) -> TopicValues:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bag is not None:
            self._bag.close()


class _Topic:
    def __init__(self, name: str, msgtype: str) -> None:
        self.history: ValueHistory = ValueHistory()
        self._name, self._msgtype = name, msgtype
        self._read = message_reader(msgtype)
        fields = message_types().fielddefs[msgtype][1]
        self._stamped = bool(fields) and fields[0][1][1] == "std_msgs/msg/Header"
        self._broken, self._reason = 0, ""
        self._decoded: tuple[Value, dict[str, Any]] | None = None

    def add(self, record: Record) -> None:
        if record.msgtype != self._msgtype:
            return
        try:
            stamp = stamp_ns(record) if self._stamped else 0
        except FrameUndecodableError as error:
            self._pass_over(str(error))
            return
        self.history.add(Value(Moment(stamp_ns=stamp, recorded_ns=record.time_ns), record.data))

    def value(self, frame: Moment) -> dict[str, Any] | None:
        """Only what a frame gets is decoded: odometry may come a hundred times as often."""
        for value in self.history.latest_first():
            fields = self._fields(value)
            if fields is not None:
                return {**fields, AGE: value.at.age_ns(frame) / NS_PER_S}
            self.history.remove(value)
        return None

    def notes(self) -> Iterator[str]:
        if self._broken:
            yield f"{self._broken} messages of {self._name} were broken and passed over ({self._reason})"
        if self.history.overtaken:
            yield (
                f"{self.history.overtaken} messages of {self._name} were stamped seconds later than frames that were "
                "recorded after them, and belong to none; are their clocks the same?"
            )

    def _fields(self, value: Value) -> dict[str, Any] | None:
        """None if it is broken."""
        if self._decoded is None or self._decoded[0] is not value:
            try:
                fields = self._read(message_types().deserialize_cdr(value.data, self._msgtype))
            except Exception as error:  # noqa: BLE001 - the parser has no base class for what it raises on broken bytes
                self._pass_over(f"the message at {value.at.recorded_ns} ns: {type(error).__name__}: {error}")
                return None
            self._decoded = value, fields
        return self._decoded[1]

    def _pass_over(self, reason: str) -> None:
        self._broken += 1
        self._reason = self._reason or reason
