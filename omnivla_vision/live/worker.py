"""The thread that encodes: newest frame and newest goal in, token sets out. It never dies of a bad image."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from omnivla_vision.encoder import VisionEncoder, stage
from omnivla_vision.goal import Goal, KnownGoal
from omnivla_vision.images.raw import ImageError
from omnivla_vision.live.frames import Callbacks, Frame, Health, OfferedGoal, Result
from omnivla_vision.live.scheduler import NewestFrame, is_stale

Header = TypeVar("Header")

# Stage timings are summed up over this many frames.
WINDOW = 100
# So many of the newest goals wait: what is wrong inside one is seen when it is decoded, and then the one before counts.
WAITING_GOALS = 4


class EncodeWorker(Generic[Header]):
    """Runs an encoder in a thread of its own, from `start` to `stop`; it can be started again.

    Args:
        encoder: used by the thread, and by the caller of `offer_goal` while there is no thread.
        callbacks: see there.
        now_ns: the clock that frames are stamped with.

    Attributes:
        max_frame_age_s: frames older than this when their turn comes, or when they would be published, are dropped;
            0 for no limit.
    """

    def __init__(
        self, encoder: VisionEncoder, callbacks: Callbacks[Header], *, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.max_frame_age_s = 0.0
        self._encoder = encoder
        self._callbacks = callbacks
        self._now_ns = now_ns
        self._slot: NewestFrame[Frame[Header]] = NewestFrame()
        self._goals: deque[OfferedGoal | None] = deque(maxlen=WAITING_GOALS)  # None clears
        self._goal: KnownGoal | None = None
        self._work: deque[Iterator[object]] = deque()
        self._goals_rejected = 0
        self._problems = {"camera": "", "goal": ""}
        self._last_error = ""
        self._stage_ms: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self._stopping = False
        self._past_over = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start encoding whatever is offered."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="encode", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the frame in work, drop the one waiting, end the thread, and forget the past frames; does nothing if
        there is no thread.
        """
        if self._thread is None:
            return
        with self._changed:
            self._stopping = True
            self._slot.drop()
            self._changed.notify()
        self._thread.join()
        self._thread = None
        self._encoder.forget()

    def offer(self, frame: Frame[Header]) -> None:
        """Hand over a frame; it replaces one that still waits. Returns at once.

        An image whose fields are wrong is refused here and now, so that it does not push out a good one.
        """
        try:
            for source in (*frame.images, *([frame.goal.image] if frame.goal else [])):
                source.check()
        except ImageError as error:
            self.refuse(error)
            return
        with self._changed:
            self._slot.offer(frame)
            self._changed.notify()

    def refuse(self, error: ImageError) -> None:
        """Count a frame that arrived and is of no use."""
        with self._changed:
            self._slot.refuse()
        self._explain("camera", "camera image refused", error)

    def refuse_goal(self, error: Exception) -> None:
        """Count a goal image that arrived and is of no use; the goal in force stays."""
        with self._changed:
            self._goals_rejected += 1
        self._explain("goal", "goal image refused, the previous goal stays", error)

    def offer_goal(self, goal: OfferedGoal | None, *, yields: bool = False) -> bool:
        """Hand over a goal, or None for no goal; it takes effect with the next frame that is started.

        Args:
            goal: the goal.
            yields: not if another one still waits; returns whether it was taken.
        """
        with self._changed:
            if yields and self._goals:
                return False
            self._goals.append(goal)
            self._changed.notify()
        if self._thread is None:
            self._take_goal()
        return True

    def set_goal(self, goal: Goal) -> None:
        """Encode a goal now, in the caller's thread; only before `start`."""
        self._encoder.set_goal(goal)
        self._goal = goal

    def offer_work(self, steps: Iterator[object]) -> None:
        """Hand over work with the encoder that takes long: a step is done between two frames, or while none waits."""
        with self._changed:
            self._work.append(steps)
            self._changed.notify()

    def clock_jumped_back(self) -> None:
        """Time starts over: the frame that waits belongs to the past, and the past frames are no longer before it."""
        with self._changed:
            self._slot.expire()
            self._past_over = True

    @property
    def health(self) -> Health:
        """A consistent snapshot."""
        with self._changed:
            return Health(
                counts=self._slot.counts,
                goal=self._goal,
                goal_encodes=self._encoder.goal_encodes,
                goals_rejected=self._goals_rejected,
                camera_problem=self._problems["camera"],
                goal_problem=self._problems["goal"],
                last_error=self._last_error,
                stage_ms=tuple(self._stage_ms),
            )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._slot.waiting or self._goals or self._work)
                if self._stopping:
                    return
            # The goal first, and only then the frame that is newest by now: a new goal delays a frame by one encode.
            self._take_goal()
            with self._changed:
                frame = self._slot.take()
                past_over, self._past_over = self._past_over, False
            if past_over:
                self._encoder.forget()
            if frame is not None:
                self._take_frame(frame)
            self._take_step()

    def _take_goal(self) -> None:
        """The newest goal that waits and is an image takes effect, and the older ones do not any more."""
        with self._changed:
            newest_first = list(reversed(self._goals))
            self._goals.clear()
        refused: list[Exception] = []
        for image in newest_first:
            try:
                self._encode_goal(image)
                break
            except Exception as error:  # noqa: BLE001 - whatever happened, the goal before it stays, and so does the node
                refused.append(error)
        for reason in reversed(refused):
            self.refuse_goal(reason)

    def _encode_goal(self, offered: OfferedGoal | None) -> None:
        goal = None
        if offered is None:
            self._encoder.use_goal(None)
        else:
            goal = offered.put(self._encoder)
        with self._changed:
            self._problems["goal"] = ""
            changed = (goal and goal.id) != (self._goal and self._goal.id)
            if changed:
                self._goal = goal
        if changed:
            self._callbacks.goal_changed(goal)
        self._callbacks.goal_taken(offered)

    def _take_step(self) -> None:
        with self._changed:
            if self._stopping or not self._work:
                return
            steps = self._work[0]
        try:
            next(steps)
        except StopIteration:
            self._work.popleft()
        except Exception as error:  # noqa: BLE001 - this work is lost, and frames go on
            self._work.popleft()
            self._explain("goal", "work between frames failed", error)

    def _take_frame(self, frame: Frame[Header]) -> None:
        waited_ms = (time.perf_counter() - frame.received_s) * 1e3
        received = {} if frame.receive_ms is None else {"receive": frame.receive_ms}
        stage_ms = {**received, "wait": waited_ms}
        if self._drop_stale(frame):
            return
        try:
            result = self._encode(frame, stage_ms)
            if self._drop_stale(frame):  # the process was stopped meanwhile, or the machine suspended
                return
            with stage(stage_ms, "publish"):
                self._callbacks.publish(result)
        except ImageError as error:
            with self._changed:
                self._slot.rejected()
            self._explain("camera", "camera image refused", error)
            return
        except Exception as error:  # noqa: BLE001 - one frame is lost; the next one gets its chance
            with self._changed:
                self._slot.failed()
            self._explain("camera", "frame failed", error)
            return
        with self._changed:
            self._slot.published()
            self._problems["camera"] = ""
            self._stage_ms.append(stage_ms)
        try:
            self._encoder.settle()
            self._callbacks.published(result)
        except Exception as error:  # noqa: BLE001 - its tokens are out already
            self._explain("camera", "after publishing", error)

    def _drop_stale(self, frame: Frame[Header]) -> bool:
        """Whether a taken frame is too old to act on, and settled for that."""
        stale = is_stale(frame.stamp_ns, now_ns=self._now_ns(), limit_s=self.max_frame_age_s)
        if stale:
            with self._changed:
                self._slot.stale()
        return stale

    def _encode(self, frame: Frame[Header], stage_ms: dict[str, float]) -> Result[Header]:
        with stage(stage_ms, "decode"):
            pictures = tuple(source.rgb() for source in frame.images)
        if frame.goal is not None:
            with stage(stage_ms, "goal"):
                self._encode_goal(frame.goal)
        tokens = self._encoder.encode(pictures, stage_ms, stamp_ns=frame.stamp_ns)
        return Result(frame=frame, pictures=pictures, tokens=tokens)

    def _explain(self, source: str, what: str, error: Exception) -> None:
        sentence = f"{what}: {error}" if isinstance(error, ImageError) else f"{what}: {type(error).__name__}: {error}"
        with self._changed:
            self._problems[source] = sentence
            self._last_error = sentence
        self._callbacks.report(source, sentence)
