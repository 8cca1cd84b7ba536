"""Where a drive's pictures were taken: traj_data.npz or traj_data.json beside them, in GNM's layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from omnivla_vision.dataset.errors import RecordingError

# The column, and the files' name before its ending.
TRAJECTORY = "traj_data"
TRAJECTORY_TYPE = pa.struct({"position": pa.list_(pa.float64(), 2), "yaw": pa.float64()})

NPZ, JSON, PICKLE = (f"{TRAJECTORY}.{ending}" for ending in ("npz", "json", "pkl"))
_CONVERT = (
    "python -c \"import pickle, numpy; d = pickle.load(open('traj_data.pkl', 'rb')); "
    "numpy.savez('traj_data.npz', position=d['position'], yaw=d['yaw'])\""
)


@dataclass(frozen=True)
class Trajectory:
    """Of picture i, in the file's own units (GNM: metres and radians): position [N, 2] and yaw [N], float64."""

    position: NDArray[np.float64]
    yaw: NDArray[np.float64]

    def at(self, number: int) -> dict[str, Any] | None:
        """A value of `TRAJECTORY_TYPE`; None beyond the end."""
        if number >= len(self.yaw):
            return None
        return {"position": self.position[number].tolist(), "yaw": float(self.yaw[number])}


def has_trajectory(folder: Path) -> bool:
    """Whether there is one that will be read."""
    return (folder / NPZ).exists() or (folder / JSON).exists()


def trajectory_notes(folder: Path) -> Iterator[str]:
    """What is there and not read."""
    if (folder / NPZ).exists() and (folder / JSON).exists():
        yield f"{JSON} was not read: {NPZ} is there."
    if (folder / PICKLE).exists() and not has_trajectory(folder):
        yield (
            f"{PICKLE} was not read, and positions are missing: to unpickle a file runs whatever program is in it. If "
            f"you know who made it, convert it in its folder: {_CONVERT}"
        )


def read_trajectory(folder: Path) -> Trajectory:
    """Read the one that is there, .npz before .json; a .pkl never.

    Raises:
        RecordingError: it cannot be read, or has other shapes.
    """
    file = folder / NPZ if (folder / NPZ).exists() else folder / JSON
    try:
        if file.name == NPZ:
            with np.load(file, allow_pickle=False) as content:
                arrays = {name: content[name] for name in ("position", "yaw")}
        else:
            content = json.loads(file.read_text())
            arrays = {name: content[name] for name in ("position", "yaw")}
        position, yaw = (np.asarray(arrays[name], np.float64) for name in ("position", "yaw"))
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise RecordingError(
            f"found {file}, which cannot be read ({type(error).__name__}: {error}); expected numbers under `position` "
            "and `yaw`, and no Python objects; repair it, or take it out"
        ) from error
    if yaw.ndim == 2 and yaw.shape[1] == 1:  # as some of GNM's scripts write it
        yaw = yaw[:, 0]
    if position.ndim != 2 or position.shape[1] != 2 or yaw.shape != position.shape[:1]:
        raise RecordingError(
            f"found {file} with position {list(position.shape)} and yaw {list(yaw.shape)}; expected [N, 2] and [N]; "
            "repair it, or take it out"
        )
    return Trajectory(position, yaw)
