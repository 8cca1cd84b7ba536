"""What a LeRobot dataset of version 3 says of itself: meta/info.json, meta/tasks.parquet, meta/episodes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from omnivla_vision.dataset.columns import RESERVED, TOKENS
from omnivla_vision.dataset.errors import LeRobotError

INFO = Path("meta", "info.json")
TASKS = Path("meta", "tasks.parquet")
EPISODES = Path("meta", "episodes")
# LeRobot's own columns of every dataset; ours say the same.
_OWN = ("timestamp", "frame_index", "episode_index", "index")
# A column that LeRobot's reader makes of `task_index`, and so does this one.
TASK = "task"
_DTYPES = {"float": pa.float32(), "double": pa.float64(), "bool": pa.bool_(), "string": pa.string()}


@dataclass(frozen=True, kw_only=True)
class LeRobotInfo:
    """A dataset, of which each episode is a recording.

    Attributes:
        root: the folder with `meta`.
        fps: frames per second, of all cameras.
        data_path, video_path: templates of files below the root.
        cameras: keys, and whether they are videos; else they are pictures in the data's files.
        features: other keys, and their types here; with tasks, `task` among them, the text.
        notes: what is not read.
    """

    root: Path
    fps: float
    data_path: str
    video_path: str
    cameras: Mapping[str, bool]
    features: Mapping[str, pa.DataType]
    notes: tuple[str, ...]


def read_info(root: Path) -> LeRobotInfo:
    """Read meta/info.json.

    Raises:
        LeRobotError: another version, no cameras, or not as LeRobot writes it.
    """
    file = root / INFO
    try:
        info = json.loads(file.read_text())
        version = str(info["codebase_version"])
        if not version.startswith("v3."):
            raise LeRobotError(
                f"found a LeRobot dataset of version {version} in {root}; expected v3; LeRobot converts earlier ones: "
                "python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=..."
            )
        return _info(root, info, info["features"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LeRobotError(
            f"found {file}, which is not as LeRobot writes it ({type(error).__name__}: {error}); expected "
            "codebase_version, fps, features, data_path and video_path"
        ) from error


def _info(root: Path, info: Mapping[str, Any], features: Mapping[str, Mapping[str, Any]]) -> LeRobotInfo:
    depth = [key for key, feature in features.items() if _is_depth(feature)]
    cameras = {
        key: feature["dtype"] == "video"
        for key, feature in features.items()
        if feature["dtype"] in ("video", "image") and key not in depth
    }
    if not cameras:
        raise LeRobotError(
            f"found no feature of dtype video or image in {root / INFO}, depth apart; it has {', '.join(features)}; "
            "expected a dataset with a camera"
        )
    others = {key: feature for key, feature in features.items() if key not in (*cameras, *depth, *_OWN)}
    types = {key: _type(feature) for key, feature in others.items()}
    taken = [key for key in others if key in RESERVED or key.startswith(TOKENS)]
    unknown = [key for key, kind in types.items() if kind is None]
    if "task_index" in types and (root / TASKS).exists():
        types = {**types, TASK: pa.string()}
    fps = float(info["fps"])
    if not fps > 0:
        raise ValueError(f"fps {fps}")
    reasons = {"depth is no picture": depth, "neither numbers nor a text": unknown, "the name is taken": taken}
    return LeRobotInfo(
        root=root,
        fps=fps,
        data_path=info["data_path"],
        video_path=info.get("video_path") or "",
        cameras=cameras,
        features={key: kind for key, kind in types.items() if kind is not None and key not in taken},
        notes=tuple(f"{', '.join(keys)} was not read: {reason}." for reason, keys in reasons.items() if keys),
    )


def read_tasks(root: Path) -> dict[int, str]:
    """Task index -> text.

    Raises:
        LeRobotError: the file is broken, or not there.
    """
    file = root / TASKS
    with reading(file):
        table = pq.read_table(file)
        texts = [name for name in table.column_names if name != "task_index"]
        return dict(zip(table["task_index"].to_pylist(), table[texts[0]].to_pylist(), strict=True))


def read_episodes(root: Path) -> Iterator[dict[str, Any]]:
    """The rows of meta/episodes, in order.

    Raises:
        LeRobotError: a file is broken, or there is none.
    """
    files = sorted((root / EPISODES).glob("*/*.parquet"))
    if not files:
        raise LeRobotError(f"found no meta/episodes/*/*.parquet in {root}; expected a whole LeRobot dataset")
    for file in files:
        with reading(file):
            rows = pq.read_table(file).to_pylist()
        yield from rows


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turns what pyarrow raises on a broken file into one reason.

    Raises:
        LeRobotError: the file cannot be read, or lacks a column.
    """
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, IndexError) as error:
        raise LeRobotError(
            f"found {file}, which cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}); expected a "
            "Parquet file as LeRobot v3 writes it; download it again"
        ) from error


def _is_depth(feature: Mapping[str, Any]) -> bool:
    return any(
        (feature.get(group) or {}).get(name, False)
        for group in ("info", "video_info")
        for name in ("is_depth_map", "video.is_depth_map")
    )


def _type(feature: Mapping[str, Any]) -> pa.DataType | None:
    """None for what is neither numbers nor a text; [1] is a number, as LeRobot stores it."""
    try:
        kind = _DTYPES.get(feature["dtype"]) or pa.type_for_alias(feature["dtype"])
    except ValueError:
        return None
    shape = tuple(feature.get("shape") or ())
    for size in reversed(() if shape == (1,) else shape):
        kind = pa.list_(kind, size)
    return kind
