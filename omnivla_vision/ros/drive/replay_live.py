"""`omnivla-vision replay --mode live`: a bag over DDS into a real node, in real time, and what came back."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message

from omnivla_vision.errors import VisionError
from omnivla_vision.live.scheduler import FrameCounts
from omnivla_vision.msg import VisualTokens
from omnivla_vision.network.grid import Grid
from omnivla_vision.replay.bag import COMPRESSED_IMAGE, VIDEO_PACKET
from omnivla_vision.replay.camera_clock import CameraClock
from omnivla_vision.replay.decoding import FrameUndecodableError, decode, stamp_ns
from omnivla_vision.replay.exact import FixedGoal
from omnivla_vision.replay.measure import EncodedFrame, Measurements, segments
from omnivla_vision.replay.result import GoalChange, Replay
from omnivla_vision.replay.run import Options, finish, progress_bar
from omnivla_vision.replay.selection import Selection
from omnivla_vision.replay.token_bag import TokenBag
from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.ros.drive.player import Played, Player, SimClock
from omnivla_vision.ros.drive.probe import NodeTimeoutError, Probe
from omnivla_vision.ros.messages import image_message, stamp_to_ns
from omnivla_vision.ros.settings import COMPRESSED, RAW
from omnivla_vision.tokens.layout import GOAL
from omnivla_vision.tokens.outputs import unpack_outputs
from omnivla_vision.tokens.provenance import Provenance
from omnivla_vision.transport.local import stay_on_this_machine
from omnivla_vision.transport.shipped import use_shipped_profile

# A name that no robot's topics have, so that a replay on a robot stays apart from what runs there.
NAMESPACE = "/omnivla_vision_replay"
STARTUP_TIMEOUT_S = 180.0
DRAIN_TIMEOUT_S = 20.0
# The clock starts this long before the bag, while the node comes up.
PREROLL_NS = 60_000_000_000
# Tokens come back within so many frames, or never.
REMEMBERED = 1000


class NoTokensError(VisionError):
    """The node sent no tokens at all."""


class VideoNotPlayableError(VisionError):
    """The camera or the goal was recorded as a video stream."""


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """The options of mode live; `attach` is the full name of a running node, `node_parameters` are of our own."""

    rate: float = 1.0
    loop: int = 1
    clock: bool = False
    attach: str | None = None
    node_parameters: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sent:
    index: int
    stamp_ns: int
    time_ns: int
    played_ns: int  # time_ns, moved on by the loops before
    wall_s: float


def run_live(options: Options, live: LiveOptions) -> int:
    """Play in mode live, write the files, and judge; returns the exit code.

    Raises:
        VisionError: the bag or the goal cannot be used, or the node did not come up or sent nothing.
    """
    selection = options.select()
    _refuse_video(selection)
    stay_on_this_machine(os.environ)
    use_shipped_profile(os.environ)
    namespace, _, node_name = (live.attach or f"{NAMESPACE}/vision_node").rpartition("/")
    with ExitStack() as stack:
        node = None if live.attach else stack.enter_context(_start_node(options, live, selection))
        camera, goal = _transports(selection)
        probe = stack.enter_context(
            Probe(namespace=namespace or "/", node_name=node_name, camera_transport=camera, goal_transport=goal)
        )
        session = _Session(options, live, selection, probe, node)
        session.token_bag = options.token_bag(stack)
        replay = session.run(options.fixed_goal(selection))
    return finish(options, replay)


def _refuse_video(selection: Selection) -> None:
    topics = [topic for topic in (selection.camera, selection.goal) if topic and topic.msgtype == VIDEO_PACKET]
    if topics:
        raise VideoNotPlayableError(
            f"found video packets on {topics[0].name}, which the node does not take, and mode live plays messages as "
            "they were recorded; use --mode exact, which decodes them"
        )


def _start_node(options: Options, live: LiveOptions, selection: Selection) -> NodeProcess:
    camera, goal = _transports(selection)
    # Our /clock must not reach the nodes of a robot.
    remappings = [f"__ns:={NAMESPACE}", f"/clock:={NAMESPACE}/clock"]
    return NodeProcess(
        parameters={
            **live.node_parameters,
            "image_transport": camera,
            "goal_image_transport": goal,
            "use_sim_time": live.clock,
        },
        remappings=remappings,
        log=options.out / "vision_node.log",
    )


def _transports(selection: Selection) -> tuple[str, str]:
    """Of the camera and of the goal, as the bag has them; a goal of our own is sent raw."""
    goal = selection.goal.msgtype if selection.goal is not None else ""
    camera = selection.camera.msgtype
    return COMPRESSED if camera == COMPRESSED_IMAGE else RAW, COMPRESSED if goal == COMPRESSED_IMAGE else RAW


class _Session:
    """One live replay: plays, and takes the tokens in between."""

    def __init__(
        self, options: Options, live: LiveOptions, selection: Selection, probe: Probe, node: NodeProcess | None
    ) -> None:
        self._options = options
        self._live = live
        self._selection = selection
        self._probe = probe
        self._node = node
        self._clock = SimClock(probe.node, wanted=live.clock, topic="/clock" if live.attach else f"{NAMESPACE}/clock")
        self._player = Player(
            probe.camera,
            probe.goal,
            options.bag,
            selection,
            rate=live.rate,
            loops=live.loop,
            clock=self._clock,
            idle=self._take_tokens,
        )
        self.token_bag: TokenBag | None = None
        self._sent: deque[_Sent] = deque(maxlen=REMEMBERED)
        self._frames = self._received = 0
        self._times = CameraClock()
        self._measurements: Measurements | None = None
        self._last: VisualTokens | None = None
        self._goals: list[GoalChange] = []
        self._goal_source = ""
        self._goal_picture: NDArray[np.uint8] | None = None

    def run(self, fixed_goal: FixedGoal | None) -> Replay:
        """Play to the end, and wait until every frame is accounted for."""
        self._wait_for_node()
        before = self._counts()
        if fixed_goal is not None:
            self._publish_goal(fixed_goal)
        started = time.perf_counter()
        with progress_bar() as bar:
            total = self._selection.frames
            task = bar.add_task("playing", total=None if total is None else total * self._live.loop)
            for played in self._player.play():
                self._note(played)
                self._take_tokens()
                bar.update(task, completed=self._frames, description=f"playing, {self._received} tokens back")
                if self._node is not None:
                    self._node.check()
        counts = self._settle(before)
        return self._replay(counts, time.perf_counter() - started)

    def _wait_for_node(self) -> None:
        """Until the node listens to what will be played. The clock already runs: timers of the node need it."""
        begun = time.monotonic()

        def connected() -> bool:
            elapsed_ns = round((time.monotonic() - begun) * 1e9)
            self._clock.set(min(self._selection.start_ns, self._selection.start_ns - PREROLL_NS + elapsed_ns))
            listening = self._probe.camera.get_subscription_count() and self._probe.goal.get_subscription_count()
            return bool(listening) and self._probe.diagnostics("camera").get("publishers", "0") != "0"

        what = f"{self._live.attach or 'the node'} to listen to {self._probe.camera.topic}"
        self._probe.wait_for(connected, what=what, timeout_s=STARTUP_TIMEOUT_S, node=self._node)

    def _publish_goal(self, fixed: FixedGoal) -> None:
        """A goal that is not in the bag: before the first frame, and the node says that it has it."""
        self._goal_source, self._goal_picture = fixed.source, fixed.goal.rgb
        self._probe.goal.publish(image_message(fixed.goal.rgb, stamp_ns=fixed.goal.stamp_ns, frame_id="goal"))
        self._probe.wait_for(
            lambda: self._probe.diagnostics("goal").get("id") == fixed.goal.id,
            what="the node to take the goal image",
            timeout_s=STARTUP_TIMEOUT_S,
            node=self._node,
        )

    def _note(self, played: Played) -> None:
        """Remember what was just published."""
        record = played.record
        if self.token_bag is not None:
            self.token_bag.write(record.topic, record.msgtype, played.time_ns, record.data)
        if played.is_goal:
            self._goal_source = record.topic
            with suppress(FrameUndecodableError):
                self._goal_picture = decode(record).rgb
            return
        with suppress(FrameUndecodableError):  # the node will refuse it
            stamp = stamp_ns(record)
            self._sent.append(_Sent(self._frames, stamp, record.time_ns, played.time_ns, played.wall_s))
            self._times.add(stamp_ns=stamp, time_ns=played.time_ns)
        self._frames += 1

    def _take_tokens(self) -> None:
        while self._probe.tokens:
            arrived_s, message = self._probe.tokens.pop(0)
            stamp = stamp_to_ns(message.header.stamp)
            sent = next((sent for sent in reversed(self._sent) if sent.stamp_ns == stamp), None)
            if sent is not None:
                self._measure(message, sent, (arrived_s - sent.wall_s) * 1e3)

    def _measure(self, message: VisualTokens, sent: _Sent, end_to_end_ms: float) -> None:
        if self._measurements is None:
            self._measurements = Measurements(segments(message.segment_names, message.segment_widths))
        images = dict(zip(message.image_names, next(iter(unpack_outputs(message).values())), strict=True))
        if message.goal_valid and (self._last is None or message.goal_id != self._last.goal_id):
            self._goals.append(GoalChange(frame=sent.index, id=message.goal_id, source=self._goal_source))
        self._measurements.add(
            EncodedFrame(
                index=sent.index,
                stamp_ns=sent.stamp_ns,
                time_ns=sent.time_ns,
                current=images[message.image_names[0]],
                goal=images.get(GOAL) if message.goal_valid else None,
                grid=Grid(message.grid_height, message.grid_width),
                goal_id=message.goal_id,
                stage_ms=dict(zip(message.stage_names, message.stage_ms, strict=True)) | {"end to end": end_to_end_ms},
            )
        )
        self._last = message
        self._received += 1
        if self.token_bag is not None:
            at_ns = sent.played_ns + round(end_to_end_ms * 1e6 * self._live.rate)
            self.token_bag.write_serialized_tokens(serialize_message(message), time_ns=at_ns)

    def _settle(self, before: dict[str, int]) -> FrameCounts:
        """Wait until the node has seen every frame and all its tokens are here; frames lost on the way never come."""
        ended = time.monotonic()

        def settled() -> bool:
            self._clock.set(self._last_bag_ns + round((time.monotonic() - ended) * self._live.rate * 1e9))
            self._take_tokens()
            counts = self._counts()
            done = {name: counts[name] - before.get(name, 0) for name in counts}
            return (
                done.get("received") == self._frames
                and not counts.get("in_flight")
                and self._received >= done["published"]
            )

        with suppress(NodeTimeoutError):
            self._probe.wait_for(
                settled, what="every frame to be accounted for", timeout_s=DRAIN_TIMEOUT_S, node=self._node
            )
        counts = self._counts()
        known = [field.name for field in fields(FrameCounts)]
        return FrameCounts(**{name: counts[name] - before.get(name, 0) for name in known if name in counts})

    @property
    def _last_bag_ns(self) -> int:
        return self._sent[-1].time_ns if self._sent else self._selection.start_ns

    def _counts(self) -> dict[str, int]:
        return {name: int(value) for name, value in self._probe.diagnostics("frames").items() if value.isdigit()}

    def _replay(self, counts: FrameCounts, wall_s: float) -> Replay:
        if self._measurements is None or self._last is None:
            log = f"; see {self._node.log}" if self._node is not None else ""
            raise NoTokensError(
                f"found no tokens for {self._frames} frames sent; the node's own account: {counts}; are its frames "
                f"refused, or does the transport lose them{log}?"
            )
        provenance = Provenance(**{field.name: getattr(self._last, field.name) for field in fields(Provenance)})
        extra = {"rate": self._live.rate, "loop": self._live.loop, "clock": self._live.clock}
        return Replay(
            bag=self._options.bag,
            mode="live",
            selection=self._selection,
            provenance=provenance,
            parameters=self._options.parameters()
            | extra
            | ({"attach": self._live.attach} if self._live.attach else {}),
            counts=counts,
            lost=self._frames - counts.received,
            clock=self._times,
            measurements=self._measurements,
            goals=self._goals,
            goal_picture=self._goal_picture,
            wall_s=wall_s,
            loops=self._live.loop,
            notes=self._notes(),
        )

    def _notes(self) -> list[str]:
        moved = self._player.moved_stamps
        if not moved:
            return []
        sentence = f"{moved} frames had the stamp of an earlier one, and were sent with one some nanoseconds later"
        return [f"{sentence}, so that their tokens can be told apart."]
