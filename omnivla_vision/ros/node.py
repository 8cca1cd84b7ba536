"""The ROS 2 node: camera and goal topics in, visual tokens out. A thin shell; the work is done in the core."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.impl.logging_severity import LoggingSeverity
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.utilities import get_rmw_implementation_identifier
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.images.files import read_rgb
from omnivla_vision.live.frames import Callbacks, Result
from omnivla_vision.live.goals import GoalOrder
from omnivla_vision.live.memory import keep_freed_memory, return_memory, use_one_heap
from omnivla_vision.live.worker import EncodeWorker
from omnivla_vision.process import signals
from omnivla_vision.ros.diagnostics import Snapshot, report
from omnivla_vision.ros.goal_sequence_parameters import check_parameters
from omnivla_vision.ros.goal_sequences import GoalSequences
from omnivla_vision.ros.heartbeat import Heartbeat
from omnivla_vision.ros.inputs import Inputs, pairing
from omnivla_vision.ros.lifecycle import UNCONFIGURED, GuardedLifecycleNode
from omnivla_vision.ros.outputs import Outputs
from omnivla_vision.ros.parameters import Parameters
from omnivla_vision.ros.program import run_node
from omnivla_vision.ros.services import create_timed_trigger
from omnivla_vision.ros.settings import LATCHED, VisionParameters
from omnivla_vision.ros.start_encoder import LoadEncoder, load_encoder
from omnivla_vision.ros.updater import make_publisher
from omnivla_vision.transport.examine import examine


class VisionNode(GuardedLifecycleNode):
    """Lifecycle node around an encoder.

    Subscribes `image_raw` (or `<camera>/image_raw` of each camera) and `goal_image`; publishes `~/tokens`,
    `~/goal_status`, `~/goal_sequence/status`, `~/debug/...` and /diagnostics; serves `~/clear_goal` and
    `~/goal_sequence/{next,previous,set_index}`. configure loads the network; activate opens
    the topics; deactivate closes them; cleanup frees the network.

    Args:
        load: makes the encoder at configure.
    """

    def __init__(self, load: LoadEncoder = load_encoder) -> None:
        super().__init__("vision_node")
        self._load = load
        self._encoder: VisionEncoder | None = None
        self._worker: EncodeWorker[Header] | None = None
        self._outputs: Outputs | None = None
        self._inputs: Inputs | None = None
        self._goal_order = GoalOrder()
        # A logger each, because throttling is per logger: refused goals must not hide refused frames.
        self._loggers = {source: self.get_logger().get_child(source) for source in ("camera", "goal")}
        self._sequences = GoalSequences(
            self,
            settings=lambda: self._settings.current,
            order=lambda: self._goal_order,
            report=lambda sentence: self._report("goal", sentence),
        )
        self._settings = Parameters(
            self, configured=lambda: self.state != UNCONFIGURED, changed=self._on_live_parameters
        )
        self._diagnostics = make_publisher(self)
        self._heartbeat = Heartbeat(self._diagnostics.period_s, self._publish_diagnostics)
        create_timed_trigger(self, "~/clear_goal", self._on_clear_goal)
        backwards = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jumps = self.get_clock().create_jump_callback(backwards, post_callback=self._on_clock_jump)

    def configure(self) -> None:
        """Read the parameters, load the network and warm it up, encode the goal to start with."""
        settings = self._settings.read()
        self._on_live_parameters(settings)
        if settings.goal_sequence_path:
            check_parameters(settings)  # now, and not after the network was loaded
        pairing(settings, lambda images: None)  # only to learn now whether it can be had
        goal = _goal_file(settings)
        with signals.interruptible():
            self._encoder = self._load(settings, self.get_logger())
        keep_freed_memory(True)
        self._outputs = Outputs(self, self._encoder, lambda: self._settings.current)
        callbacks = Callbacks(
            publish=self._outputs.publish_tokens,
            published=self._on_published,
            goal_changed=self._outputs.publish_goal,
            goal_taken=self._sequences.taken,
            report=self._report,
        )
        self._worker = EncodeWorker(self._encoder, callbacks, now_ns=lambda: self.get_clock().now().nanoseconds)
        self._worker.max_frame_age_s = settings.max_frame_age
        if goal is not None:
            self._worker.set_goal(goal)
        self._outputs.publish_goal(goal)
        with signals.interruptible():
            self._sequences.open(self._encoder, self._worker)

    def activate(self) -> None:
        """Open the topics and start encoding."""
        assert self._worker is not None
        assert self._outputs is not None
        self._outputs.restart()
        self._worker.start()
        self._inputs = Inputs(
            self, self._settings.current, self._worker, order=self._goal_order, changed=self.state_changed
        )
        *cameras, goal = [topic.topic for topic in self._inputs.topics]
        self.get_logger().info(f"listening to {', '.join(cameras)} and {goal}")

    def deactivate(self) -> None:
        """Close the topics; the network stays loaded."""
        with ExitStack() as steps:  # each is done, whatever becomes of the others; the last one first
            if self._worker is not None:
                steps.callback(self._worker.stop)
            if self._inputs is not None:
                steps.callback(self._inputs.close)
            self._inputs = None

    def cleanup(self) -> None:
        """Free the network."""
        with ExitStack() as steps:
            steps.callback(return_memory)
            steps.callback(keep_freed_memory, False)
            if self._outputs is not None:
                steps.callback(self._outputs.close)
            steps.callback(self._sequences.close)
            self._worker = self._outputs = self._encoder = None
            self._goal_order = GoalOrder()

    def start(self) -> None:
        """Configure and activate, unless `autostart` is false; when configuring fails, wait to be configured again."""
        if not self.get_parameter("autostart").value:
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
        self.state_changed()

    def state_changed(self) -> None:
        """Publish the diagnostics now."""
        self._heartbeat.now()

    def _publish_diagnostics(self) -> None:
        """Runs in the heartbeat's thread, or in the executor's; the other one may be in the middle of a transition."""
        if not self.context.ok():
            return
        outputs, encoder, worker, inputs = self._outputs, self._encoder, self._worker, self._inputs
        for topic in inputs.topics if inputs else ():
            topic.look()
        settings = self._settings.current
        size = outputs.message_bytes if outputs else 0
        rmw = get_rmw_implementation_identifier()
        snapshot = Snapshot(
            state=self.state,
            problem=self.problem,
            health=worker.health if worker else None,
            provenance=encoder.provenance if encoder else None,
            cameras=tuple(inputs.cameras) if inputs else (),
            goal=inputs.goal if inputs else None,
            sequence=self._sequences.position,
            sequence_problem=self._sequences.problem,
            namesakes=self._namesakes(),
            max_frame_age_s=settings.max_frame_age,
            transport=examine(size, rmw=rmw, environment=os.environ),
            message_bytes=size,
        )
        try:
            self._diagnostics.publish(report(snapshot))
        except rclpy_implementation.RCLError:
            if self.context.ok():  # otherwise a signal came meanwhile
                raise

    def _on_published(self, result: Result[Header]) -> None:
        """Runs in the worker's thread, when a frame's tokens are out."""
        assert self._outputs is not None
        self._outputs.show(result, self._sequences.picture)
        self._sequences.look(result)

    def _on_live_parameters(self, settings: VisionParameters) -> None:
        self._sequences.change(settings)
        if self._worker is not None:
            self._worker.max_frame_age_s = settings.max_frame_age
        level = "UNSET" if settings.log_level == "default" else settings.log_level.upper()
        self.get_logger().set_level(LoggingSeverity[level])

    def _namesakes(self) -> int:
        """How many other nodes have this one's full name."""
        return max(0, self.get_node_names_and_namespaces().count((self.get_name(), self.get_namespace())) - 1)

    def _on_clear_goal(self, sent_ns: int, response: Trigger.Response) -> None:
        if self._worker is None:
            response.message = f"there is no goal: the node is {self.state}"
        elif self._settings.current.pairing != LATCHED:
            response.message = "every frame comes with its own goal: parameter pairing is not latched"
        elif self._goal_order.accept(sent_ns=sent_ns, received_ns=0, live=True):
            self._worker.offer_goal(None)
            response.success, response.message = True, "the next frame has no goal"
        else:
            response.success, response.message = True, "a goal that was sent after this request has taken effect"

    def _on_clock_jump(self, jump: TimeJump) -> None:
        clock = self.resolve_topic_name("/clock")
        count = self.count_publishers(clock)
        sources = f"; found {count} publishers of {clock}; expected one" if count > 1 else ""
        self.get_logger().warning(
            f"the clock jumped by {jump.delta.nanoseconds / 1e9:.3f} s; starting over{sources}",
            throttle_duration_sec=self._settings.current.log_period,
        )
        if self._worker is not None:
            self._worker.clock_jumped_back()
        if self._inputs is not None:
            self._inputs.clock_jumped_back()

    def _report(self, source: str, sentence: str) -> None:
        """Runs in the worker's thread, or in the executor's."""
        if not self.context.ok():  # a signal came, and nothing can be published any more
            return
        self._loggers[source].error(sentence, throttle_duration_sec=self._settings.current.log_period)

    def destroy_node(self) -> None:
        """Stop the threads before the publishers that they use go away."""
        self._heartbeat.stop()
        self.deactivate()
        super().destroy_node()


def _goal_file(settings: VisionParameters) -> Goal | None:
    if not settings.goal_image_path:
        return None
    return Goal(rgb=read_rgb(Path(settings.goal_image_path), max_pixels=settings.max_image_pixels))


def main(args: list[str] | None = None, load: LoadEncoder = load_encoder) -> int:
    """Run the node until SIGINT or SIGTERM; returns the exit code."""
    use_one_heap()
    return run_node(lambda: VisionNode(load), args, start=VisionNode.start)
