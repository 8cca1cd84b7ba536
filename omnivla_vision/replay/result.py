"""What a replay found out, and its form as metrics.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.live.scheduler import FrameCounts
from omnivla_vision.output_files import write
from omnivla_vision.replay.camera_clock import CameraClock
from omnivla_vision.replay.measure import FrameRow, Measurements
from omnivla_vision.replay.selection import Selection
from omnivla_vision.tokens.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class GoalChange:
    """A goal came into force: `frame` is the first camera frame (an index) that was encoded against it."""

    frame: int
    id: str
    source: str


@dataclass(kw_only=True)
class Replay:
    """A finished replay.

    Attributes:
        bag: its path.
        mode: "exact" or "live".
        selection: what was played.
        provenance: what computed the tokens.
        parameters: how the replay was asked for.
        counts: what became of the camera's frames; in live mode by the node's own account.
        lost: frames that were sent and that the node never received (live mode only).
        clock: when the camera's frames were recorded.
        measurements: the numbers of every frame that has tokens.
        goals: the goals, in order.
        goal_picture: the last of the goals, uint8 [H, W, 3], or None without one.
        wall_s: seconds from the first frame to the last tokens.
        loops: how often the bag was played.
        problems: why frames were rejected, the first few.
    """

    bag: Path
    mode: str
    selection: Selection
    provenance: Provenance
    parameters: dict[str, object]
    counts: FrameCounts
    clock: CameraClock
    measurements: Measurements
    goals: list[GoalChange]
    goal_picture: NDArray[np.uint8] | None
    wall_s: float
    lost: int = 0
    loops: int = 1
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[FrameRow]:
        """The numbers of every frame that has tokens."""
        return self.measurements.rows

    @property
    def stage_names(self) -> list[str]:
        """The stages, in the order in which they happen."""
        names: dict[str, None] = {}
        for row in self.rows:
            names.update(dict.fromkeys(row.stage_ms))
        return list(names)

    @property
    def missing(self) -> int:
        """Messages that the bag's metadata or index promises, and that were not in its files."""
        return self.selection.missing + self._unread

    @property
    def _unread(self) -> int:
        played = self.counts.received + self.lost
        return 0 if self.selection.frames is None else max(0, self.selection.frames * self.loops - played)

    def all_notes(self) -> list[str]:
        """Every sentence that the reader should know."""
        notes = [*self.selection.notes, *self.notes, *self.clock.notes(), *self.problems]
        if self.lost:
            notes.append(
                f"{self.lost} of the frames sent never came to the node: the transport lost them, or the machine had "
                "no time for them; a lower rate, or fewer programs beside it, may help."
            )
        if self._unread:
            index = f"{self.selection.camera.count} frames of {self.selection.camera.name}"
            notes.append(f"The bag's index names {index}; {self._unread} of them are not in the files.")
        return notes

    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json."""
        encoders = list(self.rows[0].norms) if self.rows else []
        return {
            "bag": self.bag.name,
            "mode": self.mode,
            "camera_topic": self.selection.camera.name,
            "goal_topic": self.selection.goal.name if self.selection.goal else "",
            "parameters": self.parameters,
            "provenance": asdict(self.provenance),
            "frames": asdict(self.counts) | {"lost": self.lost, "missing": self.missing},
            "input": {
                "rate_hz": round(self.clock.rate_hz, 3),
                "longest_gap_s": round(self.clock.longest_gap_s, 3),
                "out_of_order": self.clock.out_of_order,
                "clock_restarts": self.clock.restarts,
            },
            "wall_s": round(self.wall_s, 3),
            "stage_ms": {
                name: percentiles([row.stage_ms.get(name, 0.0) for row in self.rows]) for name in self.stage_names
            },
            "norm": {name: summary([row.norms[name] for row in self.rows]) for name in encoders},
            "goal_cosine": {
                name: summary([row.goal_cosines[name] for row in self.rows if row.goal_cosines]) for name in encoders
            },
            "goals": [asdict(goal) for goal in self.goals],
            "tokens_sha256": self.measurements.sha256 if self.mode == "exact" else "",
            "notes": self.all_notes(),
            "rows": [asdict(row) for row in self.rows],
        }

    def save_metrics(self, path: Path, **more: Any) -> None:
        """Write metrics.json."""
        write(path, json.dumps({**more, **self.metrics()}, indent=1) + "\n")


def percentiles(samples: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the maximum; empty without samples."""
    if not samples:
        return {}
    values = np.percentile(samples, [50, 95, 99, 100])
    return {name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99", "max"), values, strict=True)}


def summary(samples: list[float]) -> dict[str, float]:
    """First, last, mean, smallest and largest; empty without samples."""
    if not samples:
        return {}
    values = {"first": samples[0], "last": samples[-1], "mean": float(np.mean(samples))}
    values |= {"min": min(samples), "max": max(samples)}
    return {name: round(value, 6) for name, value in values.items()}
