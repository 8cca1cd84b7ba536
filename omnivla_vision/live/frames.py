"""What passes between the node and its worker: frames and goals in, results and health out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal, KnownGoal
from omnivla_vision.images.raw import Image, ImageSource
from omnivla_vision.live.scheduler import FrameCounts
from omnivla_vision.tokens.token_set import TokenSet

Header = TypeVar("Header")


class OfferedGoal(Protocol):
    """A goal on its way."""

    def put(self, encoder: VisionEncoder) -> KnownGoal:
        """Put it in force, as a whole or not at all; runs in the worker's thread and may raise anything."""
        ...


@dataclass(frozen=True, kw_only=True)
class GoalImage:
    """A goal image on its way, not yet decoded."""

    image: ImageSource
    stamp_ns: int

    def put(self, encoder: VisionEncoder) -> KnownGoal:
        """Decode it, and encode it unless it is in force already.

        Raises:
            ImageError: it is no usable image.
        """
        self.image.check()
        # A view would keep the whole message alive, and would follow it if it changed.
        goal = Goal(rgb=self.image.rgb().copy(), stamp_ns=self.stamp_ns)
        encoder.set_goal(goal)
        return goal


@dataclass(frozen=True, kw_only=True)
class Frame(Generic[Header]):
    """One image of each camera on its way, and the goal that belongs to them if the stream brings one.

    `header` is carried along untouched; `stamp_ns` is its time, `received_s` is time.perf_counter(), `receive_ms` what
    passed between the middleware's reception and that; None if the middleware does not tell.
    """

    images: tuple[ImageSource, ...]
    header: Header
    stamp_ns: int
    received_s: float
    receive_ms: float | None = None
    goal: GoalImage | None = None


@dataclass(frozen=True, kw_only=True)
class Result(Generic[Header]):
    """A frame that was encoded: where it came from, its pictures uint8 [H, W, 3] each, and its tokens."""

    frame: Frame[Header]
    pictures: tuple[Image, ...]
    tokens: TokenSet


@dataclass(frozen=True, kw_only=True)
class Callbacks(Generic[Header]):
    """What the worker tells its owner, in the worker's thread.

    Attributes:
        publish: hands tokens to the transport; an exception counts as a failed frame.
        published: after that and after the books are closed, for work that no frame should wait for.
        goal_changed: the goal in force, or None.
        goal_taken: what was offered and is in force from now on, also when it is the same goal again.
        report: for every refusal and failure, "camera" or "goal" and a sentence.
    """

    publish: Callable[[Result[Header]], None]
    report: Callable[[str, str], None]
    goal_changed: Callable[[KnownGoal | None], None] = field(default=lambda goal: None)
    goal_taken: Callable[[OfferedGoal | None], None] = field(default=lambda offered: None)
    published: Callable[[Result[Header]], None] = field(default=lambda result: None)


@dataclass(frozen=True, kw_only=True)
class Health:
    """What the worker can say about itself at one moment. Timings are the last frames', oldest first.

    `camera_problem` and `goal_problem` say what was wrong with the last frame and the last goal; empty if nothing was.
    """

    counts: FrameCounts
    goal: KnownGoal | None
    goal_encodes: int
    goals_rejected: int
    camera_problem: str
    goal_problem: str
    last_error: str
    stage_ms: tuple[dict[str, float], ...]
