"""What can be said of a dataset: how much, of what, made by which weights, and what is amiss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from omnivla_vision.dataset.description import Description
from omnivla_vision.dataset.recording import Episode


@dataclass(frozen=True)
class Gap:
    """A pause between two frames, in seconds: when it begins, from the episode's first frame on, and how long it is."""

    at_s: float
    length_s: float


@dataclass(frozen=True, kw_only=True)
class CameraInfo:
    """The frames of one camera of an episode.

    Attributes:
        name: the camera's.
        rows: how many.
        clock: whose times the others are from, see `CameraRows.clock`.
        duration_s: from the first frame to the last, without jumps back; None without times.
        rate_hz: between gaps; None of a single frame, or without times.
        gaps: pauses of more than `examine.GAP` median intervals.
        jumps_back: how often a frame is older than the one before it.
    """

    name: str
    rows: int
    clock: str
    duration_s: float | None
    rate_hz: float | None
    gaps: tuple[Gap, ...]
    jumps_back: int


@dataclass(frozen=True, kw_only=True)
class EpisodeInfo:
    """An episode; `bytes` are its share of the data files, None where the storage does not tell."""

    episode: Episode
    cameras: tuple[CameraInfo, ...]
    bytes: int | None

    @property
    def rows(self) -> int:
        """Of all cameras, as they are now: someone may have deleted some."""
        return sum(camera.rows for camera in self.cameras)

    @property
    def duration_s(self) -> float | None:
        """Of the camera that ran the longest; None without times."""
        return max((camera.duration_s for camera in self.cameras if camera.duration_s is not None), default=None)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Of all cameras."""
        return tuple(gap for camera in self.cameras for gap in camera.gaps)


@dataclass(frozen=True, kw_only=True)
class TopicInfo:
    """A column of another topic.

    Attributes:
        name, kind: see `Description.topics`.
        share: of all rows that have a value, 0 to 1.
        age_median_s, age_max_s: of the values, in seconds; None without any, or where the column has no ages.
    """

    name: str
    kind: str
    share: float
    age_median_s: float | None
    age_max_s: float | None


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """A whole dataset.

    Attributes:
        uri: where it lies.
        description: what computed it.
        episodes: in the order of their rows.
        topics: columns of other topics.
        broken: recordings that could not be used: path -> reason.
        bytes: of its data files; None where the storage does not tell.
    """

    uri: str
    description: Description
    episodes: tuple[EpisodeInfo, ...]
    topics: tuple[TopicInfo, ...]
    broken: Mapping[str, str]
    bytes: int | None

    @property
    def rows(self) -> int:
        """Of all episodes."""
        return sum(episode.rows for episode in self.episodes)

    @property
    def rejected(self) -> int:
        """Frames of all episodes that were no usable images."""
        return sum(episode.episode.rejected for episode in self.episodes)

    @property
    def duration_s(self) -> float | None:
        """Of all episodes whose frames have times; None if there is none."""
        known = [episode.duration_s for episode in self.episodes if episode.duration_s is not None]
        return sum(known) if known else None

    @property
    def random(self) -> bool:
        """Whether the weights mean nothing."""
        return self.description.weights == "random"

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON has it; times in seconds."""
        return {
            **asdict(self),
            "episodes": [
                {**asdict(info.episode), "rows": info.rows, "bytes": info.bytes, "duration_s": info.duration_s}
                | {"cameras": [asdict(camera) for camera in info.cameras]}
                for info in self.episodes
            ],
            "rows": self.rows,
            "rejected": self.rejected,
            "duration_s": self.duration_s,
        }
