"""The thread that encodes: newest frame and newest goal in, token sets out. It never dies of a bad image."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from omnivla_vision.encoder import TokenSet, VisionEncoder, stage
from omnivla_vision.goal import Goal
from omnivla_vision.images import ImageError, RawImage, to_rgb
from omnivla_vision.scheduler import FrameCounts, NewestFrame

Header = TypeVar("Header")

# Stage timings are summed up over this many frames.
WINDOW = 100


@dataclass(frozen=True, kw_only=True)
class Frame(Generic[Header]):
    """A camera image on its way; `header` is carried along untouched, `received_s` is time.perf_counter()."""

    image: RawImage
    header: Header
    received_s: float


@dataclass(frozen=True, kw_only=True)
class GoalImage:
    """A goal image on its way, not yet checked or decoded."""

    image: RawImage
    stamp_ns: int


@dataclass(frozen=True, kw_only=True)
class Health:
    """What the worker can say about itself at one moment. Timings are the last WINDOW frames', oldest first."""

    counts: FrameCounts
    goal: Goal | None
    goal_encodes: int
    goals_rejected: int
    last_error: str
    stage_ms: tuple[dict[str, float], ...]


class EncodeWorker(Generic[Header]):
    """Runs an encoder in a thread of its own.

    Args:
        encoder: used by this thread only, from `start` to `stop`.
        publish: called in the worker's thread with each frame's header and tokens; an exception counts as a failure.
        report: called in the worker's thread for every refused image and every failure, with "camera" or "goal" and a
            sentence.
    """

    def __init__(
        self,
        encoder: VisionEncoder,
        *,
        publish: Callable[[Header, TokenSet], None],
        report: Callable[[str, str], None],
    ) -> None:
        self._encoder = encoder
        self._publish = publish
        self._report = report
        self._slot: NewestFrame[Frame[Header]] = NewestFrame()
        self._new_goal: GoalImage | None = None
        self._goal: Goal | None = None
        self._goals_rejected = 0
        self._last_error = ""
        self._stage_ms: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="encode", daemon=True)

    def start(self) -> None:
        """Start encoding whatever is offered."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the frame in work, drop the one waiting, and end the thread."""
        with self._changed:
            self._stopping = True
            self._slot.drop()
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def offer(self, frame: Frame[Header]) -> None:
        """Hand over a camera frame; it replaces one that still waits. Returns at once."""
        with self._changed:
            self._slot.offer(frame)
            self._changed.notify()

    def offer_goal(self, goal: GoalImage) -> None:
        """Hand over a goal image; it takes effect with the next frame that is started. Returns at once."""
        with self._changed:
            self._new_goal = goal
            self._changed.notify()

    @property
    def health(self) -> Health:
        """A consistent snapshot."""
        with self._changed:
            return Health(
                counts=self._slot.counts,
                goal=self._goal,
                goal_encodes=self._encoder.goal_encodes,
                goals_rejected=self._goals_rejected,
                last_error=self._last_error,
                stage_ms=tuple(self._stage_ms),
            )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._slot.waiting or self._new_goal is not None)
                if self._stopping:
                    return
                goal, self._new_goal = self._new_goal, None
            # The goal first, and only then the frame that is newest by now: a new goal delays a frame by one encode.
            if goal is not None:
                self._take_goal(goal)
            with self._changed:
                frame = self._slot.take()
            if frame is not None:
                self._take_frame(frame)

    def _take_goal(self, image: GoalImage) -> None:
        try:
            goal = Goal(rgb=to_rgb(image.image).copy(), stamp_ns=image.stamp_ns)
            if self._encoder.set_goal(goal):
                with self._changed:
                    self._goal = goal
        except Exception as error:  # noqa: BLE001 - whatever happened, the previous goal is still in force and so is the node
            with self._changed:
                self._goals_rejected += 1
            self._explain("goal", "goal image refused, the previous goal stays", error)

    def _take_frame(self, frame: Frame[Header]) -> None:
        waited_ms = (time.perf_counter() - frame.received_s) * 1e3
        stage_ms = {"wait": waited_ms}
        try:
            with stage(stage_ms, "decode"):
                rgb = to_rgb(frame.image)
            tokens = self._encoder.encode(rgb, stage_ms)
            self._publish(frame.header, tokens)
        except ImageError as error:
            with self._changed:
                self._slot.rejected()
            self._explain("camera", "camera image refused", error)
        except Exception as error:  # noqa: BLE001 - one frame is lost; the next one gets its chance
            with self._changed:
                self._slot.failed()
            self._explain("camera", "frame failed", error)
        else:
            with self._changed:
                self._slot.published()
                self._stage_ms.append(stage_ms)

    def _explain(self, source: str, what: str, error: Exception) -> None:
        sentence = f"{what}: {error}" if isinstance(error, ImageError) else f"{what}: {type(error).__name__}: {error}"
        with self._changed:
            self._last_error = sentence
        self._report(source, sentence)
