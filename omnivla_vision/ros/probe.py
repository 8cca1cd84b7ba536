"""The other end of the node, for demos, replays and tests: publishes frames and goals, collects tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import numpy as np
import rclpy
import rclpy.signals
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from omnivla_vision.errors import VisionError
from omnivla_vision.msg import VisualTokens
from omnivla_vision.ros.messages import bytes_field, ns_to_stamp
from omnivla_vision.ros.node_process import NodeProcess

POLL_S = 0.02


class NodeTimeoutError(VisionError):
    """The node did not do in time what it was expected to."""


class Probe:
    """A node of its own in this process, spinning in a thread; a context manager.

    Attributes:
        tokens: every message received so far, with the time.time() of its arrival.
    """

    def __init__(self, *, namespace: str, node_name: str = "vision_node") -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
        self.node = rclpy.create_node("probe", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.tokens: list[tuple[float, VisualTokens]] = []
        self._diagnostics: dict[str, dict[str, str]] = {}
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        self.camera = self.node.create_publisher(Image, "image_raw", reliable)
        self.goal = self.node.create_publisher(Image, "goal_image", latched)
        self.node.create_subscription(VisualTokens, f"{node_name}/tokens", self._on_tokens, reliable)
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
        return self.goal.get_subscription_count() >= 2 and self.diagnostics("camera").get("publishers", "0") != "0"

    def diagnostics(self, name: str) -> dict[str, str]:
        """The key-value pairs of the node's newest status `name`; empty before the first."""
        return self._diagnostics.get(name, {})

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_tokens(self, message: VisualTokens) -> None:
        self.tokens.append((time.time(), message))

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith(self._prefix):
                values = {pair.key: pair.value for pair in status.values}
                self._diagnostics[status.name.removeprefix(self._prefix)] = values


def image_message(rgb: NDArray[np.uint8], *, stamp_ns: int, frame_id: str) -> Image:
    """An rgb8 message of an [H, W, 3] image."""
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8", step=3 * rgb.shape[1])
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id = frame_id
    message.data = bytes_field(rgb)
    return message
