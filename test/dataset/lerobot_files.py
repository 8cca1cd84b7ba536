"""LeRobot v3 datasets as LeRobot writes them: Parquet of data and episodes, and MP4 of several episodes each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FPS = 10
CAMERA = "observation.images.front"
SIZE = (64, 96)  # height, width
_BITS = 6


def numbered_picture(number: int) -> NDArray[np.uint8]:
    """A picture that says its number in black and white bars, which any codec keeps; uint8 [64, 96, 3]."""
    bars = np.array([255 * (number >> bit & 1) for bit in range(_BITS)], np.uint8)
    return np.broadcast_to(np.repeat(bars, SIZE[1] // _BITS)[None, :, None], (*SIZE, 3)).copy()


def number_of(rgb: NDArray[np.uint8]) -> int:
    """What such a picture says."""
    bars = rgb.reshape(SIZE[0], _BITS, SIZE[1] // _BITS, 3).mean((0, 2, 3)) > 127
    return sum(1 << bit for bit, on in enumerate(bars) if on)


@dataclass
class LeRobotFiles:
    """Writes one.

    Attributes:
        root: a folder that is not there yet.
        lengths: frames of each episode.
        files: for each file of a kind, how many episodes it holds.
        codec: of the videos, with its options; None: pictures in the data's files.
        features: further ones, beside `action` [3] and `observation.state` [2].
        mean: in the statistics, by which datasets differ.
        lost: number of a picture that is not in its video.
    """

    root: Path
    lengths: Sequence[int]
    files: Sequence[int]
    codec: str | None = "libx264"
    options: Mapping[str, str] = field(default_factory=lambda: {"g": "4"})
    features: Mapping[str, Any] = field(default_factory=dict)
    mean: float = 0.0
    lost: int = -1

    def write(self) -> Path:
        """Pictures are numbered throughout the dataset."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        episodes: list[dict[str, Any]] = []
        first = 0
        for file, count in enumerate(self.files):
            chunk, number = divmod(file, 2)  # `chunks_size` 2
            name = f"chunk-{chunk:03d}/file-{number:03d}"
            rows, begin = [], first
            for _ in range(count):
                episode, length = len(episodes), self.lengths[len(episodes)]
                rows += [self._row(episode, index, first + index) for index in range(length)]
                place = {"chunk_index": chunk, "file_index": number}
                video = {
                    **place,
                    "from_timestamp": (first - begin) / FPS,
                    "to_timestamp": (first + length - begin) / FPS,
                }
                episodes.append(
                    {
                        "episode_index": episode,
                        "tasks": [f"task {episode % 2}"],
                        "length": length,
                        "dataset_from_index": first,
                        "dataset_to_index": first + length,
                        **{f"data/{key}": value for key, value in place.items()},
                        **({f"videos/{CAMERA}/{key}": value for key, value in video.items()} if self.codec else {}),
                        "stats/action/mean": [self.mean + episode] * 3,
                        "meta/episodes/chunk_index": 0,
                        "meta/episodes/file_index": 0,
                    }
                )
                first += length
            data = self.root / "data" / f"{name}.parquet"
            data.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, self._schema()), data, row_group_size=5)
            if self.codec:
                self._video(self.root / "videos" / CAMERA / f"{name}.mp4", range(begin, first))
        meta = self.root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
        meta.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(episodes), meta)
        tasks = pa.table({"task_index": [0, 1], "__index_level_0__": ["task 0", "task 1"]})
        pq.write_table(tasks, self.root / "meta" / "tasks.parquet")
        self._info(len(episodes), first)
        return self.root

    def _row(self, episode: int, index: int, number: int) -> dict[str, Any]:
        row = {
            "action": [number, number + 0.5, -number],
            "observation.state": [index, 0.25],
            "timestamp": index / FPS,
            "frame_index": index,
            "episode_index": episode,
            "index": number,
            "task_index": episode % 2,
        }
        if not self.codec:
            import cv2

            png = cv2.imencode(".png", numbered_picture(number)[..., ::-1])[1].tobytes()
            row[CAMERA] = {"bytes": png, "path": f"frame-{index:06d}.png"}
        return row

    def _schema(self) -> Any:
        import pyarrow as pa

        integers = ("frame_index", "episode_index", "index", "task_index")
        picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        return pa.schema(
            [
                ("action", pa.list_(pa.float32(), 3)),
                ("observation.state", pa.list_(pa.float32())),
                ("timestamp", pa.float32()),
                *((name, pa.int64()) for name in integers),
                *([] if self.codec else [(CAMERA, picture)]),
            ]
        )

    def _video(self, path: Path, numbers: Sequence[int]) -> None:
        import av

        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(self.codec, rate=FPS, options=dict(self.options))
            stream.height, stream.width = SIZE
            stream.pix_fmt = "yuv420p"
            for position, number in enumerate(numbers):
                frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")
                frame.pts = position
                container.mux(stream.encode(frame) if number != self.lost else [])
            container.mux(stream.encode())

    def _info(self, episodes: int, frames: int) -> None:
        integer = {"dtype": "int64", "shape": [1], "names": None}
        info = {
            "codebase_version": "v3.0",
            "robot_type": "rover",
            "total_episodes": episodes,
            "total_frames": frames,
            "total_tasks": 2,
            "chunks_size": 2,
            "fps": FPS,
            "splits": {"train": f"0:{episodes}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": {
                CAMERA: {"dtype": "video" if self.codec else "image", "shape": [*SIZE, 3], "names": None},
                "action": {"dtype": "float32", "shape": [3], "names": ["x", "y", "yaw"]},
                "observation.state": {"dtype": "float32", "shape": [2], "names": None},
                "timestamp": {"dtype": "float32", "shape": [1], "names": None},
                **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), integer),
                **self.features,
            },
        }
        (self.root / "meta" / "info.json").write_text(json.dumps(info, indent=4))
