"""A bag as a recording: every frame of its camera, or of several."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omnivla_vision.dataset.recording import SourceFrame
from omnivla_vision.dataset.recordings.jpeg import jpeg_of
from omnivla_vision.dataset.recordings.message_columns import value_types
from omnivla_vision.dataset.recordings.sampling import Sampler
from omnivla_vision.dataset.recordings.topic_values import TopicValues
from omnivla_vision.images.raw import MAX_PIXELS
from omnivla_vision.images.stamps import NS_PER_S
from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.selection import Selection, select
from omnivla_vision.replay.steps import Step, read_steps

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class BagOptions:
    """What becomes rows of every bag.

    Attributes:
        image_topics: the cameras; empty: the only one there is.
        every_ns: see `Sampler`.
        start_s, duration_s: seconds into each bag, and how much of it; None: to its end.
        images: whether frames are kept as JPEG.
        max_pixels: larger images are refused.
    """

    image_topics: tuple[str, ...] = ()
    every_ns: int = 0
    start_s: float = 0.0
    duration_s: float | None = None
    images: bool = False
    max_pixels: int = MAX_PIXELS


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
    options: BagOptions
    selections: tuple[Selection, ...]
    topics: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    _notes: list[str] = field(default_factory=list, compare=False)

    def values(self) -> Mapping[str, pa.DataType]:
        """See `Recording`."""
        return value_types(self.topics)

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


def open_recording(path: Path, options: BagOptions) -> tuple[BagRecording, Mapping[str, str]]:
    """Look into a bag, without reading its images.

    Returns:
        The recording without columns of other topics, and all topics of the bag that are not images: name -> type.

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
            for topic in options.image_topics or (None,)
        )
        cameras = {selection.camera.name for selection in selections}
        recording = BagRecording(
            id=f"{_stem(path)}@{bag.start_ns}",
            path=path,
            expected=sum(_expected(selection, bag, options) for selection in selections),
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


def _expected(selection: Selection, bag: Bag, options: BagOptions) -> int:
    """About how many frames there will be."""
    end_ns = bag.start_ns + round(bag.duration_s * NS_PER_S)
    stop_ns = end_ns if selection.stop_ns is None else min(end_ns, selection.stop_ns)
    seconds = max(0.0, (stop_ns - selection.start_ns) / NS_PER_S)
    count = (
        selection.camera.count
        if selection.frames is not None
        else round(selection.camera.count * seconds / bag.duration_s if bag.duration_s else 1)
    )
    return min(count, int(seconds * NS_PER_S / options.every_ns) + 1) if options.every_ns else count
