"""An episode of a LeRobot dataset (v3) as a recording, read with pyarrow and PyAV alone."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from omnivla_vision.dataset.errors import LeRobotError
from omnivla_vision.dataset.recording import SourceFrame
from omnivla_vision.dataset.recordings.frame_options import BEGINNING_NS, FrameOptions, Window
from omnivla_vision.dataset.recordings.jpeg import encode_jpeg
from omnivla_vision.dataset.recordings.lerobot_info import (
    EPISODES,
    TASK,
    LeRobotInfo,
    read_episodes,
    read_info,
    read_tasks,
    reading,
)
from omnivla_vision.dataset.recordings.lerobot_rows import read_rows, stored_pictures
from omnivla_vision.dataset.recordings.lerobot_video import frames_at, import_av
from omnivla_vision.images.raw import ImageError, check_size
from omnivla_vision.images.stamps import NS_PER_S

# A frame of a video may be off by so much of the interval between two.
_WITHIN = 0.25
# A picture, its JPEG, and why there is none.
_Picture = tuple["np.ndarray[Any, np.dtype[np.uint8]] | None", "bytes | None", str]


def column_of(key: str) -> str:
    """A feature's column: Lance allows no dot in a name, and LeRobot no slash."""
    return key.replace(".", "/")


@dataclass(frozen=True, kw_only=True)
class LeRobotEpisode:
    """See `Recording`. Its frames' stamps are those of LeRobot's `timestamp`, from `BEGINNING_NS` on.

    Attributes:
        path: the dataset's folder, and the episode's number.
        size: 0: the files hold other episodes, too.
        row: where it lies in them, from meta/episodes.
        topics: columns of features that are wanted.
    """

    id: str
    path: Path
    expected: int | None
    info: LeRobotInfo
    row: Mapping[str, Any]
    options: FrameOptions
    topics: Mapping[str, str] = field(default_factory=dict)
    size: int = 0

    def notes(self) -> tuple[str, ...]:
        """See `Recording`."""
        return self.info.notes

    def frames(self) -> Generator[SourceFrame, None, None]:
        """See `Recording`."""
        columns = self._columns()
        times = columns.pop("timestamp")
        stamps = [BEGINNING_NS + round(time * NS_PER_S) for time in times]
        for camera in self.options.cameras or self.info.cameras:
            window = Window(self.options)
            wanted = [index for index, stamp in enumerate(stamps) if window.wants(stamp)]
            read = self._from_video if self.info.cameras[camera] else self._from_rows
            for index, (rgb, jpeg, problem) in read(camera, wanted, times):
                yield SourceFrame(
                    camera=camera,
                    stamp_ns=stamps[index],
                    recorded_ns=0,
                    rgb=rgb,
                    jpeg=jpeg,
                    problem=problem and f"{camera}, frame {index}: {problem}",
                    values={column_of(key): values[index] for key, values in columns.items()},
                )

    def _columns(self) -> dict[str, list[Any]]:
        """Feature -> values, frame by frame, and `timestamp`, seconds."""
        wanted = {key: kind for key, kind in self.info.features.items() if column_of(key) in self.topics}
        with_task = wanted.pop(TASK, None) is not None
        stored = {**wanted, "timestamp": pa.float64(), **({"task_index": pa.int64()} if with_task else {})}
        rows = read_rows(self._file(self.info.data_path, "data"), self._number, stored, int(self.row["length"]))
        if not np.isfinite(np.array(rows["timestamp"], np.float64)).all():
            raise LeRobotError(f"found frames without a timestamp in {self.path}; expected seconds; record it again")
        columns = {key: rows[key] for key in (*wanted, "timestamp")}
        if with_task:
            tasks = read_tasks(self.info.root)
            columns[TASK] = [tasks.get(number) for number in rows["task_index"]]
        return columns

    @property
    def _number(self) -> int:
        return int(self.row["episode_index"])

    def _place(self, name: str) -> Any:
        value = self.row.get(name)
        if value is None:
            raise LeRobotError(
                f"found no {name} for {self.path} in meta/episodes; expected what LeRobot v3 writes; if it still "
                "records, wait for its end, else download the dataset again"
            )
        return value

    def _file(self, template: str, prefix: str, **names: str) -> Path:
        chunk, file = (self._place(f"{prefix}/{name}") for name in ("chunk_index", "file_index"))
        return self.info.root / template.format(chunk_index=chunk, file_index=file, **names)

    def _from_video(
        self, camera: str, wanted: Sequence[int], times: Sequence[float]
    ) -> Generator[tuple[int, _Picture], None, None]:
        place = f"videos/{camera}"
        begin = self._place(f"{place}/from_timestamp")
        file = self._file(self.info.video_path, place, video_key=camera)
        found = frames_at(file, [begin + times[index] for index in wanted], _WITHIN / self.info.fps)
        for index, (_, frame) in zip(wanted, found, strict=True):
            yield index, self._of_video(frame)

    def _of_video(self, frame: Any) -> _Picture:
        if frame is None:
            return None, None, "the video has none at that time"
        try:
            check_size(frame.width, frame.height, self.options.max_pixels)
        except ImageError as error:
            return None, None, str(error)
        rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        return rgb, encode_jpeg(rgb) if self.options.images else None, ""

    def _from_rows(
        self, camera: str, wanted: Sequence[int], _: Sequence[float]
    ) -> Generator[tuple[int, _Picture], None, None]:
        chosen = set(wanted)
        pictures = stored_pictures(self._file(self.info.data_path, "data"), self._number, camera)
        for index, content in enumerate(pictures):
            if index in chosen:
                yield index, self._of_file(content)

    def _of_file(self, content: bytes | None) -> _Picture:
        if content is None:
            return None, None, "its picture is not in the file"
        try:
            return *self.options.picture(content), ""
        except ImageError as error:
            return None, None, str(error)


def open_lerobot(root: Path, options: FrameOptions) -> list[LeRobotEpisode]:
    """The episodes of a dataset, none of which is decoded.

    Raises:
        LeRobotError: see `read_info` and `read_episodes`; or it has no camera that was asked for.
        VideoSupportMissingError: there are videos, and PyAV is not installed.
    """
    info = read_info(root)
    missing = [camera for camera in options.cameras if camera not in info.cameras]
    if missing:
        raise LeRobotError(
            f"found no camera {', '.join(missing)} in {root}; it has {', '.join(info.cameras)}; name one of these with "
            "--image-topic"
        )
    if any(info.cameras.values()):
        import_av()
    cameras = len(options.cameras or info.cameras)
    with reading(root / EPISODES):
        return [
            LeRobotEpisode(
                id=f"{root.resolve().name}/{row['episode_index']}@{_digest(row)}",
                path=root / f"episode {row['episode_index']}",
                expected=cameras * options.expected(row["length"], row["length"] / info.fps),
                info=info,
                row={name: value for name, value in row.items() if not name.startswith("stats/")},
                options=options,
            )
            for row in read_episodes(root)
        ]


def _digest(row: Mapping[str, Any]) -> str:
    """Of what belongs to the episode: its length, tasks and statistics, and not where it lies."""
    own = {name: value for name, value in row.items() if name in ("length", "tasks") or name.startswith("stats/")}
    return hashlib.sha256(repr(sorted(own.items())).encode()).hexdigest()[:16]
