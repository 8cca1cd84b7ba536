"""A bag as a recording: every frame of its camera, or of several."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omnivla_vision.dataset.recording import SourceFrame
from omnivla_vision.dataset.recordings.jpeg import jpeg_of
from omnivla_vision.dataset.recordings.row_options import RowOptions
from omnivla_vision.dataset.recordings.sampling import Sampler
from omnivla_vision.dataset.recordings.topic_values import TopicValues
from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.selection import Selection, select
from omnivla_vision.replay.steps import Step, read_steps

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class BagRecording:
    """See `Recording`.

    Attributes:
        selections: what of the bag is read, for each camera.
        topics: those that get columns, whether this bag has them or not.
        absent: those of them that it does not have.
    """

    id: str
    path: Path
    expected: int | None
    size: int
    options: RowOptions
    selections: tuple[Selection, ...]
    topics: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    _notes: list[str] = field(default_factory=list, compare=False)

    def notes(self) -> tuple[str, ...]:
        """See `Recording`."""
        absent = [f"{name} ({self.topics[name]}) is not in the bag: its column is empty." for name in self.absent]
        return tuple(
            dict.fromkeys([*absent, *(note for chosen in self.selections for note in chosen.notes), *self._notes])
        )

    def frames(self) -> Generator[SourceFrame, None, None]:
        """See `Recording`."""
        present = {name: kind for name, kind in self.topics.items() if name not in self.absent}
        for selection in self.selections:
            sampler = Sampler(self.options.every_ns)
            with TopicValues(self.path, present) as values:
                steps = read_steps(self.path, selection, wants=sampler.wants if self.options.every_ns else None)
                with closing(steps):
                    for step in steps:
                        yield self._frame(step, values)
                self._notes.extend(values.notes)

    def _frame(self, step: Step, values: TopicValues) -> SourceFrame:
        record, frame = step.record, step.frame
        if frame is None:
            return SourceFrame(
                camera=record.topic, stamp_ns=0, recorded_ns=record.time_ns, rgb=None, problem=step.problem
            )
        return SourceFrame(
            camera=record.topic,
            stamp_ns=frame.stamp_ns,
            recorded_ns=record.time_ns,
            rgb=frame.rgb,
            jpeg=jpeg_of(record, frame.rgb) if self.options.images else None,
            values=values.at(frame.stamp_ns, record.time_ns),
        )


def open_recording(path: Path, options: RowOptions) -> tuple[BagRecording, Mapping[str, str]]:
    """Look into a bag, without reading its images.

    Returns:
        The recording without columns of other topics, and all topics of the bag but its cameras': name -> type.

    Raises:
        BagError: it cannot be read, or has no such camera.
    """
    with Bag(path) as bag:
        selections = tuple(
            select(
                bag,
                image_topic=topic,
                goal_elsewhere=True,
                start_s=options.start_s,
                duration_s=options.duration_s,
                max_pixels=options.max_pixels,
            )
            for topic in options.cameras or (None,)
        )
        cameras = {selection.camera.name for selection in selections}
        recording = BagRecording(
            id=f"{_stem(path)}@{bag.start_ns}",
            path=path,
            expected=sum(options.expected(selection.camera.count, bag.duration_s) for selection in selections),
            size=_size(path),
            options=options,
            selections=selections,
        )
        return recording, {topic.name: topic.msgtype for topic in bag.topics if topic.name not in cameras}


def _stem(path: Path) -> str:
    """Of the file without all its endings, or the folder's name."""
    resolved = path.resolve()
    return resolved.name if path.is_dir() else resolved.name.split(".")[0]


def _size(path: Path) -> int:
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
