"""What a replay says about each frame's tokens: norms, nearness to the goal, timings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.network.grid import Grid
from omnivla_vision.replay.sampling import EvenlySpaced
from omnivla_vision.tokens.channels import Channels, Doubles
from omnivla_vision.tokens.difference import cosine

Features = NDArray[np.floating]
# How many frames the report shows as pictures.
PICTURES = 8


@dataclass(frozen=True, kw_only=True)
class EncodedFrame:
    """One frame with tokens, wherever they were computed.

    Attributes:
        index: counts the camera's messages that were played, from 0.
        stamp_ns: the header's stamp.
        time_ns: when it was recorded.
        current: [grid.tokens, width], float32 or the format in which it travelled.
        goal: the same for the goal, or None without one.
        grid: what the rows of both are.
        goal_id: the goal's identity; empty without one.
        stage_ms: milliseconds of each stage.
    """

    index: int
    stamp_ns: int
    time_ns: int
    current: Features
    goal: Features | None
    grid: Grid
    goal_id: str
    stage_ms: Mapping[str, float]


class Sink(Protocol):
    """Receives every frame that has tokens, in order."""

    def add(self, frame: EncodedFrame) -> None:
        """Take one frame; its arrays are only lent."""
        ...


@dataclass(frozen=True)
class Segment:
    """One encoder's columns of a token."""

    name: str
    columns: slice


def segments(names: Sequence[str], widths: Sequence[int]) -> tuple[Segment, ...]:
    """The encoders' columns, side by side in this order.

    Where a pixel shuffle puts several patches into a token, the second of an encoder's is called `siglip 2`.
    """
    ends = np.cumsum(widths).tolist()
    numbers = [list(names[: place + 1]).count(name) for place, name in enumerate(names)]
    return tuple(
        Segment(name if number == 1 else f"{name} {number}", slice(end - width, end))
        for name, number, width, end in zip(names, numbers, widths, ends, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class FrameRow:
    """The numbers of one frame; `norms` and `goal_cosines` are per encoder, the latter empty without a goal.

    The cosines are in channels standardized over the goal's patches: a massive channel would make all views alike.
    """

    index: int
    stamp_ns: int
    time_ns: int
    goal_id: str
    stage_ms: dict[str, float]
    norms: dict[str, float]
    goal_cosines: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A sampled frame's tokens, float16: the frame itself is read from the bag again when it is shown."""

    time_ns: int
    current: Features
    goal: Features | None
    grid: Grid


class Measurements:
    """Collects the numbers of every frame and the tokens of a few; a Sink.

    Attributes:
        rows: one per frame.
        pictures: a few frames' tokens, by index, evenly spaced.
    """

    def __init__(self, segments: tuple[Segment, ...]) -> None:
        self.rows: list[FrameRow] = []
        self.pictures: EvenlySpaced[Picture] = EvenlySpaced(PICTURES)
        self._segments = segments
        self._digest = hashlib.sha256()
        self._goal_id = ""
        self._goal: list[tuple[Channels, Doubles]] = []

    @property
    def sha256(self) -> str:
        """Digest over all tokens in order: equal digests mean tokens equal to the last bit."""
        return self._digest.hexdigest()

    def add(self, frame: EncodedFrame) -> None:
        """Measure one frame."""
        self._digest.update(np.ascontiguousarray(frame.current).data)
        if frame.goal is not None and frame.goal_id != self._goal_id:
            self._digest.update(np.ascontiguousarray(frame.goal).data)
            self._goal = [_standardized(frame.goal[:, s.columns]) for s in self._segments]
        self._goal_id = frame.goal_id
        self.rows.append(
            FrameRow(
                index=frame.index,
                stamp_ns=frame.stamp_ns,
                time_ns=frame.time_ns,
                goal_id=frame.goal_id,
                stage_ms={name: round(float(ms), 3) for name, ms in frame.stage_ms.items()},
                norms={s.name: mean_norm(frame.current[:, s.columns]) for s in self._segments},
                goal_cosines={}
                if frame.goal is None
                else {
                    s.name: float(cosine(channels.standardize(frame.current[:, s.columns]), goal).mean())
                    for s, (channels, goal) in zip(self._segments, self._goal, strict=True)
                },
            )
        )
        if self.pictures.wants(frame.index):
            first = self._segments[0].columns
            goal = None if frame.goal is None else frame.goal[:, first].astype(np.float16)
            current = frame.current[:, first].astype(np.float16)
            picture = Picture(time_ns=frame.time_ns, current=current, goal=goal, grid=frame.grid)
            self.pictures.add(frame.index, picture)


def mean_norm(tokens: Features) -> float:
    """Mean over the patches of the token's length (L2)."""
    return float(np.linalg.norm(tokens.astype(np.float32, copy=False), axis=1).mean())


def _standardized(goal: Features) -> tuple[Channels, Doubles]:
    """A goal's channels, and its patches in them."""
    channels = Channels.of(goal)
    return channels, channels.standardize(goal)
