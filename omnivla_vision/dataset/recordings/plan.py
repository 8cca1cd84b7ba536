"""Which recordings there are, and which of their topics become columns: what is known before the encoder runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from omnivla_vision.dataset.errors import NoRecordingError
from omnivla_vision.dataset.recording import Recording
from omnivla_vision.dataset.recordings.bag_recording import BagRecording, open_recording
from omnivla_vision.dataset.recordings.find_bags import find_bags
from omnivla_vision.dataset.recordings.message_columns import DEFAULT_TYPES, value_types
from omnivla_vision.dataset.recordings.row_options import RowOptions
from omnivla_vision.replay.bag import BagError


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What could be made rows of.

    Attributes:
        recordings: in the order of their episodes; each once.
        unreadable: path -> reason, of recordings that cannot even be opened.
        topics: see `Description`.
        values: types of those columns.
        notes: sentences that the user should read.
    """

    recordings: tuple[Recording, ...]
    unreadable: Mapping[str, str]
    topics: Mapping[str, str]
    values: Mapping[str, pa.DataType]
    notes: tuple[str, ...] = field(default=())


def plan_bags(
    paths: Sequence[Path],
    options: RowOptions,
    *,
    asked: Sequence[str] | None = None,
    present: Mapping[str, str] | None = None,
) -> Plan:
    """Find the bags, and look into each.

    Args:
        paths: bags, and folders of bags.
        options: see there.
        asked: topics to make columns of; None: those in the dataset, or else all of `DEFAULT_TYPES`.
        present: topics that the dataset has columns of; None: there is no dataset yet.

    Raises:
        NoRecordingError: there is no bag, or not one has a topic that was asked for.
        MessageColumnError: a topic that was asked for cannot be a column.
    """
    opened: dict[str, tuple[BagRecording, Mapping[str, str]]] = {}
    unreadable: dict[str, str] = {}
    notes = []
    for path in find_bags(paths):
        try:
            recording, topics = open_recording(path, options)
        except BagError as error:
            unreadable[str(path)] = str(error)
            continue
        if recording.id in opened:
            notes.append(f"{path} holds what {opened[recording.id][0].path} holds; taken once.")
        else:
            opened[recording.id] = recording, topics
    columns = _columns([topics for _, topics in opened.values()], asked, present) if opened else dict(present or {})
    return Plan(
        recordings=tuple(
            replace(recording, topics=columns, absent=tuple(n for n, kind in columns.items() if topics.get(n) != kind))
            for recording, topics in opened.values()
        ),
        unreadable=unreadable,
        topics=columns,
        values=value_types(columns),
        notes=tuple(notes),
    )


def _columns(
    bags: Sequence[Mapping[str, str]], asked: Sequence[str] | None, present: Mapping[str, str] | None
) -> dict[str, str]:
    """The topics that become columns; where bags differ in a topic's type, the first bag's counts."""
    there: dict[str, str] = {}
    for topics in bags:
        there = {**topics, **there}
    if asked is None:
        found = {name: there[name] for name in sorted(there) if there[name] in DEFAULT_TYPES}
        return found if present is None else dict(present)
    missing = [name for name in asked if name not in there]
    if missing:
        listing = ", ".join(f"{name} ({kind})" for name, kind in sorted(there.items())) or "none but images"
        raise NoRecordingError(
            f"found no topic {', '.join(missing)} in any of the bags; expected topics to make columns of; there are "
            f"{listing}; name one of these with --topics"
        )
    return {name: there[name] for name in sorted(set(asked))}
