"""The other end of the node, for demos, replays and tests: publishes frames and goals, collects tokens."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import rclpy
import rclpy.signals
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy

from omnivla_vision.errors import VisionError
from omnivla_vision.msg import GoalStatus, VisualTokens
from omnivla_vision.ros import qos
from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.ros.image_topic import typed_topic
from omnivla_vision.ros.log_files import ros_arguments
from omnivla_vision.ros.settings import RAW

POLL_S = 0.02


class NodeTimeoutError(VisionError):
    """The node did not do in time what it was expected to."""


class Probe:
    """A node of its own in this process, spinning in a thread; a context manager.

    Attributes:
        tokens: every message received so far, with the time.time() of its arrival.
        goal_statuses: every message about the goal received so far.
        reports: every status received so far, by its name.
        camera, goal: publishers of images, in the transports that were asked for.
    """

    def __init__(
        self,
        *,
        namespace: str,
        node_name: str = "vision_node",
        camera_transport: str = RAW,
        goal_transport: str = RAW,
    ) -> None:
        self._context = rclpy.Context()
        no_handlers = rclpy.signals.SignalHandlerOptions.NO
        rclpy.init(args=ros_arguments(), context=self._context, signal_handler_options=no_handlers)
        self.node = rclpy.create_node("probe", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.tokens: list[tuple[float, VisualTokens]] = []
        self._take_tokens: Callable[[float, VisualTokens], None] = lambda arrived, m: self.tokens.append((arrived, m))
        self.goal_statuses: list[GoalStatus] = []
        self.reports: defaultdict[str, list[DiagnosticStatus]] = defaultdict(list)
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self.camera = self.node.create_publisher(*typed_topic("image_raw", camera_transport), reliable)
        self.goal = self.node.create_publisher(*typed_topic("goal_image", goal_transport), qos.latched())
        self.node.create_subscription(VisualTokens, f"{node_name}/tokens", self._on_tokens, reliable)
        self.node.create_subscription(GoalStatus, f"{node_name}/goal_status", self.goal_statuses.append, qos.latched())
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._prefix = f"{namespace.rstrip('/')}/{node_name}: "
        self._thread = threading.Thread(target=self._spin, name="probe", daemon=True)
        self._thread.start()

    def wait_for(
        self, condition: Callable[[], bool], *, what: str, timeout_s: float, node: NodeProcess | None = None
    ) -> None:
        """Wait until `condition()` holds.

        Raises:
            NodeTimeoutError: it did not within `timeout_s`.
            NodeDiedError: `node` was given and ended meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if node is not None:
                node.check()
            if time.monotonic() > deadline:
                raise NodeTimeoutError(f"waited {timeout_s:.0f} s in vain for {what}")
            time.sleep(POLL_S)

    @property
    def connected(self) -> bool:
        """Whether the node listens to camera and goals. It must say so itself: each side connects in its own time."""
        return self.goal.get_subscription_count() >= 3 and self.diagnostics("camera").get("publishers", "0") != "0"

    def diagnostics(self, name: str) -> dict[str, str]:
        """The key-value pairs of the node's newest status `name`; empty before the first."""
        return {pair.key: pair.value for pair in self.reports[name][-1].values} if self.reports[name] else {}

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()

    def keep_tokens(self, take: Callable[[float, VisualTokens], None]) -> None:
        """Call `take` with the arrival and each message from now on, instead of keeping them all in `tokens`."""
        self._take_tokens = take

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_tokens(self, message: VisualTokens) -> None:
        self._take_tokens(time.time(), message)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith(self._prefix):
                self.reports[status.name.removeprefix(self._prefix)].append(status)
