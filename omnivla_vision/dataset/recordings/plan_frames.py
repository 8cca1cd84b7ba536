"""Recordings that are no bags: folders of numbered pictures, and LeRobot datasets, at or below some folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from omnivla_vision.dataset.errors import NoRecordingError, RecordingError
from omnivla_vision.dataset.recordings.find_bags import natural
from omnivla_vision.dataset.recordings.frame_folder import FrameFolder, open_folder
from omnivla_vision.dataset.recordings.frame_options import FrameOptions
from omnivla_vision.dataset.recordings.lerobot import LeRobotEpisode, column_of, open_lerobot
from omnivla_vision.dataset.recordings.lerobot_info import INFO
from omnivla_vision.dataset.recordings.plan import Plan
from omnivla_vision.dataset.recordings.trajectory_file import TRAJECTORY, TRAJECTORY_TYPE, has_trajectory
from omnivla_vision.images.numbered import ImageNumberingError

# For `Description.topics`.
FILE = "file"

Found = FrameFolder | LeRobotEpisode


def find_frames(paths: Sequence[Path], options: FrameOptions) -> tuple[list[Found], dict[str, str]]:
    """Every folder of numbered pictures, and every episode of every LeRobot dataset, at or below the paths.

    Returns:
        Recordings without columns of their files, in the paths' order, below a folder in that of names, `2` before
        `10`; and path -> reason, of what cannot be used.

    Raises:
        NoRecordingError: there is nothing at one of the paths, or neither layout below it.
        FrameRateMissingError: options ask for times of pictures that have none.
        VideoSupportMissingError: there are videos, and PyAV is not installed.
    """
    found: list[Found] = []
    unreadable: dict[str, str] = {}
    for path in paths:
        before = len(found), len(unreadable)
        for folder in _folders(path):
            opened, reason = _opened(folder, options)
            found += opened
            if reason:
                unreadable[str(folder)] = reason
        if (len(found), len(unreadable)) == before:
            raise NoRecordingError(
                f"found {'nothing' if not path.exists() else 'no frames'} at {path}; expected a folder of pictures "
                f"0.jpg, 1.jpg, ... or a LeRobot dataset ({INFO}), or a folder of such; bags are named without "
                "--from-frames"
            )
    return found, unreadable


def plan_frames(
    paths: Sequence[Path],
    options: FrameOptions,
    *,
    asked: Sequence[str] | None = None,
    present: Mapping[str, pa.DataType] | None = None,
) -> Plan:
    """Find the recordings, and what becomes columns: positions of folders, numbers and texts of LeRobot datasets.

    Args:
        paths: see `find_frames`.
        options: see there.
        asked: columns to make; None: those in the dataset, or else all there are.
        present: columns that the dataset has, and their types; None: there is no dataset yet.

    Raises:
        NoRecordingError: see `find_frames`; or no recording has a column that was asked for.
        FrameRateMissingError, VideoSupportMissingError: see `find_frames`.
    """
    found, unreadable = find_frames(paths, options)
    columns: dict[str, pa.DataType] = {}
    for recording in found:
        columns = {**_columns(recording), **columns}
    missing = [name for name in asked or () if name not in columns]
    if missing:
        raise NoRecordingError(
            f"found no {', '.join(missing)} in any recording; expected columns to make; there are "
            f"{', '.join(sorted(columns)) or 'none'}; name one of these with --topics"
        )
    names = sorted(columns if present is None else present) if asked is None else sorted(set(asked))
    values = {name: columns[name] if name in columns else (present or {})[name] for name in names}
    recordings: dict[str, Found] = {}
    notes: dict[str, None] = {}
    if asked is None and present is not None and (extra := sorted(columns.keys() - present.keys())):
        notes[f"{', '.join(extra)} is left out: the dataset has no such column."] = None
    for recording in found:
        own = {name: kind for name, kind in _columns(recording).items() if name in values}
        others = [f"{name} is {kind}, not {values[name]}" for name, kind in own.items() if kind != values[name]]
        if others:
            unreadable[str(recording.path)] = (
                f"found columns that differ from the first recording's ({'; '.join(others)}); expected the same; make "
                "another dataset of these, or leave the columns out with --topics"
            )
        elif recording.id in recordings:
            notes[f"{recording.path} holds what {recordings[recording.id].path} holds; taken once."] = None
        else:
            recordings[recording.id] = replace(recording, topics=dict.fromkeys(own, FILE))
            notes |= dict.fromkeys(recording.notes())
    return Plan(
        recordings=tuple(recordings.values()),
        unreadable=unreadable,
        topics=dict.fromkeys(names, FILE),
        values=values,
        notes=tuple(notes),
    )


def _folders(path: Path) -> Iterator[Path]:
    """Folders that may be recordings."""
    if not path.is_dir():
        return
    yield path
    if (path / INFO).exists():
        return
    for item in sorted(path.iterdir(), key=natural):
        if item.is_dir() and not item.is_symlink() and item.name[0] != ".":  # a link upwards would go round for ever
            yield from _folders(item)


def _opened(folder: Path, options: FrameOptions) -> tuple[list[Found], str]:
    """What a folder itself holds, or why that cannot be used."""
    try:
        return _open(folder, options), ""
    except (RecordingError, ImageNumberingError, OSError) as error:
        return [], str(error)


def _open(folder: Path, options: FrameOptions) -> list[Found]:
    if (folder / INFO).exists():
        return [*open_lerobot(folder, options)]
    opened = open_folder(folder, options)
    if opened is None:
        return []
    if options.cameras:
        raise NoRecordingError(
            f"found pictures of one camera without a name in {folder}, and a camera that was asked for; expected none; "
            "leave out --image-topic"
        )
    return [opened]


def _columns(recording: Found) -> Mapping[str, pa.DataType]:
    """Those that a recording could have."""
    if isinstance(recording, LeRobotEpisode):
        return {column_of(key): kind for key, kind in recording.info.features.items()}
    return {TRAJECTORY: TRAJECTORY_TYPE} if has_trajectory(recording.path) else {}
