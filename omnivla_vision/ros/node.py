"""The ROS 2 node: camera and goal topics in, visual tokens out. A thin shell; the work is done in the core."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Any

import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from omnivla_vision.encoder import TokenSet, VisionEncoder
from omnivla_vision.errors import VisionError
from omnivla_vision.loading import load_encoder
from omnivla_vision.msg import VisualTokens
from omnivla_vision.ros import parameters, qos
from omnivla_vision.ros.diagnostics import diagnostics
from omnivla_vision.ros.messages import raw_image, stamp_to_ns, to_message
from omnivla_vision.worker import EncodeWorker, Frame, GoalImage

# A camera that sends only broken images must not flood the log.
THROTTLE_S = 5.0


class VisionNode(LifecycleNode):
    """Lifecycle node around an encoder.

    Subscribes `image_raw` and `goal_image` (sensor_msgs/Image); publishes `~/tokens` (VisualTokens) and /diagnostics.
    configure loads the network; activate opens the topics; deactivate closes them; cleanup frees the network.
    """

    def __init__(self) -> None:
        super().__init__("vision_node")
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._settings = parameters.VisionParameters()
        self._encoder: VisionEncoder | None = None
        self._worker: EncodeWorker[Header] | None = None
        self._topics: list[Any] = []
        self._seen_goals: deque[int] = deque(maxlen=16)
        self._sequence = self._cameras = 0
        # A logger each, because throttling is per logger: refused goals must not hide refused frames.
        self._loggers = {source: self.get_logger().get_child(source) for source in ("camera", "goal")}
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._tokens = self.create_publisher(
            VisualTokens, "~/tokens", qos.TOKENS, qos_overriding_options=QoSOverridingOptions.with_default_policies()
        )
        self._diagnostics_timer = self.create_timer(1.0, self._publish_diagnostics)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, load the network and warm it up."""
        try:
            self._settings = parameters.read(self)
            self._encoder = self._load_encoder()
        except VisionError as error:
            self.get_logger().error(f"cannot configure: {error}")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the topics and start encoding."""
        assert self._encoder is not None
        self._sequence = self._cameras = 0
        self._worker = EncodeWorker(self._encoder, publish=self._publish_tokens, report=self._report)
        self._worker.start()
        overrides = QoSOverridingOptions.with_default_policies()
        self._topics = [
            self.create_subscription(
                Image,
                "image_raw",
                self._on_image,
                qos.CAMERA,
                event_callbacks=qos.on_matched(self._on_camera_matched),
                qos_overriding_options=overrides,
            ),
            self.create_subscription(Image, "goal_image", self._on_goal, qos.GOAL_LATCHED),
            self.create_subscription(Image, "goal_image", self._on_goal, qos.GOAL_VOLATILE),
        ]
        self.get_logger().info(
            f"active: {self._topics[0].topic_name} and {self._topics[1].topic_name} -> {self._tokens.topic_name}"
        )
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the topics; the network stays loaded."""
        self._close()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network."""
        self._encoder = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, from any state."""
        self._close()
        self._encoder = None
        return TransitionCallbackReturn.SUCCESS

    def start(self) -> None:
        """Configure and activate without a lifecycle manager; when configuring fails, wait to be configured again."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _load_encoder(self) -> VisionEncoder:
        started = time.perf_counter()
        loaded = load_encoder(parameters.encoder_options(self._settings))
        for warning in loaded.warnings:
            self.get_logger().warning(warning)
        encoder = loaded.encoder
        encoder.warm_up()
        made_by = encoder.provenance
        self.get_logger().info(
            f"{made_by.preset} ready in {time.perf_counter() - started:.1f} s: engine {made_by.engine}, "
            f"{made_by.precision}, {torch.get_num_threads()} threads"
        )
        return encoder

    def _on_camera_matched(self, publishers: int) -> None:
        self._cameras = publishers
        self._publish_diagnostics()

    def _on_image(self, message: Image) -> None:
        if self._worker is not None:
            self._worker.offer(Frame(image=raw_image(message), header=message.header, received_s=time.perf_counter()))

    def _on_goal(self, message: Image, info: Any) -> None:
        if self._worker is None or info["source_timestamp"] in self._seen_goals:
            return
        self._seen_goals.append(info["source_timestamp"])
        self._worker.offer_goal(GoalImage(image=raw_image(message), stamp_ns=stamp_to_ns(message.header.stamp)))

    def _on_parameters(self, changes: list[Parameter[Any]]) -> Any:
        result = parameters.check_change(changes)
        if result.successful:
            self._settings = parameters.with_live_changes(self._settings, changes)
        return result

    def _publish_tokens(self, header: Header, tokens: TokenSet) -> None:
        """Runs in the worker's thread."""
        assert self._encoder is not None
        message = to_message(
            tokens,
            header=header,
            sequence=self._sequence,
            dtype=self._settings.output_dtype,
        )
        self._tokens.publish(message)
        self._sequence += 1

    def _report(self, source: str, sentence: str) -> None:
        """Runs in the worker's thread."""
        self._loggers[source].error(sentence, throttle_duration_sec=THROTTLE_S)

    def _publish_diagnostics(self) -> None:
        if self._worker is not None and self._encoder is not None:
            stamp = self.get_clock().now().to_msg()
            name = self.get_fully_qualified_name()
            self._diagnostics.publish(
                diagnostics(
                    self._worker.health, self._encoder.provenance, cameras=self._cameras, node_name=name, stamp=stamp
                )
            )

    def _close(self) -> None:
        for topic in self._topics:
            self.destroy_subscription(topic)
        self._topics = []
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def destroy_node(self) -> None:
        """Stop the worker before the publishers that it uses go away."""
        self._close()
        super().destroy_node()


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; returns the exit code."""
    rclpy.init(args=args)
    node = VisionNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value:
            node.start()
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        # In this order: a thread still inside the executor or the worker at exit would abort the process.
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
