"""Exact replay: every frame is encoded once, in order, nothing is dropped, and two runs give equal tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.images.raw import ImageError
from omnivla_vision.live.scheduler import FrameCounts
from omnivla_vision.replay.camera_clock import CameraClock
from omnivla_vision.replay.measure import EncodedFrame, Measurements, Sink, segments
from omnivla_vision.replay.prefetch import Prefetch
from omnivla_vision.replay.result import GoalChange, Replay
from omnivla_vision.replay.selection import Selection
from omnivla_vision.replay.steps import Step, read_steps
from omnivla_vision.replay.token_bag import TokenBag
from omnivla_vision.tokens.token_set import TokenSet

# So many reasons for rejected frames are kept; the others are counted.
PROBLEMS = 5


@dataclass(frozen=True, kw_only=True)
class FixedGoal:
    """A goal that does not come from a topic: in force from the first frame on. `source` says where it is from."""

    goal: Goal
    source: str


class ExactReplay:
    """Plays a bag through an encoder.

    Reading and decoding run ahead in a thread of their own while the network works.

    Args:
        path: the bag.
        selection: what of it to play.
        encoder: used by this replay only.
        fixed_goal: instead of the goals in the bag.
        sinks: receive every frame with its tokens.
        token_bag: receives images and tokens.
        progress: called after every camera frame with the number done so far.
    """

    def __init__(
        self,
        path: Path,
        selection: Selection,
        encoder: VisionEncoder,
        *,
        fixed_goal: FixedGoal | None = None,
        sinks: Sequence[Sink] = (),
        token_bag: TokenBag | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._selection = selection
        self._encoder = encoder
        self._fixed_goal = fixed_goal
        specs = encoder.preset.encoders
        self._measurements = Measurements(segments([s.name for s in specs], [s.width for s in specs]))
        self._sinks = (self._measurements, *sinks)
        self._token_bag = token_bag
        self._progress = progress
        self._clock = CameraClock()
        self._goals: list[GoalChange] = []
        self._goal_picture: NDArray[np.uint8] | None = None
        self._problems: list[str] = []
        self._frames = self._rejected = 0

    def run(self, parameters: dict[str, object]) -> Replay:
        """Play to the end.

        Raises:
            BagUnreadableError: the bag breaks off.
            EmptyWindowError: not one camera message was found.
        """
        self._encoder.warm_up()
        self._encoder.set_goal(None)
        self._encoder.forget()
        started = time.perf_counter()
        if self._fixed_goal is not None:
            self._set_goal(self._fixed_goal.goal, self._fixed_goal.source)
        with Prefetch(lambda: read_steps(self._path, self._selection)) as steps:
            for step in steps:
                if self._token_bag is not None:
                    self._token_bag.write_record(step.record)
                if step.is_goal:
                    self._take_goal(step)
                else:
                    self._take_frame(step)
        return Replay(
            bag=self._path,
            mode="exact",
            selection=self._selection,
            provenance=self._encoder.provenance,
            parameters=parameters,
            counts=FrameCounts(received=self._frames, published=self._frames - self._rejected, rejected=self._rejected),
            clock=self._clock,
            measurements=self._measurements,
            goals=self._goals,
            goal_picture=self._goal_picture,
            wall_s=time.perf_counter() - started,
            problems=self._problems,
        )

    def _take_goal(self, step: Step) -> None:
        if step.frame is None:
            self._explain(f"A goal image was refused, the previous goal stays: {step.problem}.")
            return
        try:
            self._set_goal(Goal(rgb=step.frame.rgb, stamp_ns=step.frame.stamp_ns), step.record.topic)
        except ImageError as error:
            self._explain(f"A goal image was refused, the previous goal stays: {error}.")

    def _set_goal(self, goal: Goal, source: str) -> None:
        if self._encoder.set_goal(goal):
            self._goals.append(GoalChange(frame=self._frames, id=goal.id, source=source))
            self._goal_picture = goal.rgb

    def _take_frame(self, step: Step) -> None:
        index = self._frames
        self._frames += 1
        if step.frame is None:
            self._rejected += 1
            self._explain(f"Frame {index} was rejected: {step.problem}.")
        else:
            try:
                tokens = self._encoder.encode(step.frame.rgb, step.stage_ms, stamp_ns=step.frame.stamp_ns)
            except ImageError as error:  # another size than its mask's, or no stamp for a history in seconds
                self._rejected += 1
                self._explain(f"Frame {index} was rejected: {error}.")
            else:
                self._clock.add(stamp_ns=step.frame.stamp_ns, time_ns=step.record.time_ns)
                self._hand_out(index, step, tokens)
        self._progress(self._frames)

    def _hand_out(self, index: int, step: Step, tokens: TokenSet) -> None:
        assert step.frame is not None
        values = tokens.fused.numpy()  # every patch, whatever the outputs pool: measures of presets compare
        count = self._encoder.preset.tokens_per_image
        frame = EncodedFrame(
            index=index,
            stamp_ns=step.frame.stamp_ns,
            time_ns=step.record.time_ns,
            current=values[:count],
            goal=None if tokens.goal is None else values[count:],
            grid=self._encoder.preset.grid,
            goal_id="" if tokens.goal is None else tokens.goal.id,
            stage_ms=tokens.stage_ms,
        )
        for sink in self._sinks:
            sink.add(frame)
        if self._token_bag is not None:
            self._token_bag.write_tokens(
                tokens,
                stamp_ns=step.frame.stamp_ns,
                frame_id=step.frame.frame_id,
                sequence=index - self._rejected,
                time_ns=step.record.time_ns,
            )

    def _explain(self, sentence: str) -> None:
        if len(self._problems) < PROBLEMS:
            self._problems.append(sentence)
