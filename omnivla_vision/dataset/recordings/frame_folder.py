"""A folder of numbered pictures as a recording: GNM's layout, `<drive>/0.jpg 1.jpg ...` and perhaps `traj_data.*`."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omnivla_vision.dataset.errors import FrameRateMissingError, RecordingError
from omnivla_vision.dataset.recording import SourceFrame
from omnivla_vision.dataset.recordings.frame_options import BEGINNING_NS, FrameOptions, Window
from omnivla_vision.dataset.recordings.trajectory_file import (
    TRAJECTORY,
    Trajectory,
    has_trajectory,
    read_trajectory,
    trajectory_notes,
)
from omnivla_vision.images.exif import orientation
from omnivla_vision.images.numbered import numbered_images
from omnivla_vision.images.raw import ImageError
from omnivla_vision.images.stamps import NS_PER_S

if TYPE_CHECKING:
    pass

# The folder has one, and no name for it.
CAMERA = "camera"
# Where more numbers than that are missing for each picture, the numbers are no frames' (but times, say).
_MOST_MISSING = 10


@dataclass(frozen=True, kw_only=True)
class FrameFolder:
    """See `Recording`.

    Attributes:
        topics: the trajectory's column, if it is wanted, whether this folder has one or not.
    """

    id: str
    path: Path
    expected: int | None
    size: int
    options: FrameOptions
    topics: Mapping[str, str] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list, compare=False)

    def notes(self) -> tuple[str, ...]:
        """See `Recording`."""
        notes = [*trajectory_notes(self.path)]
        if self.options.frame_rate is None:
            notes.append("Nobody said at what rate the pictures were taken: the rows have no stamps (--frame-rate).")
        return (*notes, *self._notes)

    def frames(self) -> Generator[SourceFrame, None, None]:
        """See `Recording`. A number that is missing between others is a frame that is rejected."""
        try:
            files = numbered_images(self.path)
        except OSError as error:
            raise RecordingError(
                f"found {self.path}: {error.strerror}; expected the folder that was there when the run began"
            ) from error
        trajectory = read_trajectory(self.path) if self.topics and has_trajectory(self.path) else None
        last = max(files, default=-1)
        if trajectory is not None and len(trajectory.yaw) != last + 1:
            self._note(
                f"There are {len(trajectory.yaw)} positions, and pictures up to number {last}: "
                f"{'those beyond have none' if len(trajectory.yaw) <= last else 'positions beyond belong to none'}."
            )
        window = Window(self.options)
        for number in range(min(files, default=0), last + 1):
            stamp_ns = self._stamp_ns(number)
            if number not in files:
                if window.holds(stamp_ns):
                    yield _rejected(stamp_ns, f"{self.path / str(number)}: no picture of that number is there")
            elif window.wants(stamp_ns):
                yield self._frame(files[number], stamp_ns, trajectory, number)

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)

    def _stamp_ns(self, number: int) -> int:
        rate = self.options.frame_rate
        return 0 if rate is None else BEGINNING_NS + round(number / rate * NS_PER_S)

    def _frame(self, file: Path, stamp_ns: int, trajectory: Trajectory | None, number: int) -> SourceFrame:
        try:
            content = file.read_bytes()
            rgb, jpeg = self.options.picture(content)
        except (ImageError, OSError) as error:
            return _rejected(stamp_ns, f"{file}: {error}")
        if orientation(content) != 1:
            self._note("Pictures ask to be turned (EXIF orientation); they are encoded as they are stored.")
        values = {} if trajectory is None else {TRAJECTORY: trajectory.at(number)}
        return SourceFrame(camera=CAMERA, stamp_ns=stamp_ns, recorded_ns=0, rgb=rgb, jpeg=jpeg, values=values)


def open_folder(path: Path, options: FrameOptions) -> FrameFolder | None:
    """Look into a folder, without decoding its pictures; None if it has none itself.

    Raises:
        RecordingError: their numbers are no frames'.
        ImageNumberingError: their names are no numbers, or two have the same.
        OSError: it cannot be read.
        FrameRateMissingError: the options ask for times, and nobody said the rate.
    """
    files = numbered_images(path)
    if not files:
        return None
    if options.by_time and options.frame_rate is None:
        raise FrameRateMissingError(
            f"found pictures in {path}, which have no times, and options that go by time; expected --frame-rate with "
            "--every, --rate, --start and --duration; say at how many Hz they were taken"
        )
    first, last = min(files), max(files)
    if last - first + 1 > (1 + _MOST_MISSING) * len(files):
        raise RecordingError(
            f"found {len(files)} pictures in {path}, numbered from {first} to {last}; expected 0.jpg, 1.jpg, ... with "
            "few missing; number them in the order in which they were taken"
        )
    digest = hashlib.sha256(files[first].read_bytes()).hexdigest()[:16]
    seconds = (last + 1) / options.frame_rate if options.frame_rate else 0.0
    return FrameFolder(
        id=f"{path.resolve().name}@{digest}",
        path=path,
        expected=options.expected(last - first + 1, seconds),
        size=sum(file.stat().st_size for file in files.values()),
        options=options,
    )


def _rejected(stamp_ns: int, problem: str) -> SourceFrame:
    return SourceFrame(camera=CAMERA, stamp_ns=stamp_ns, recorded_ns=0, rgb=None, problem=problem)
