#!/usr/bin/env python3
"""Where a policy begins: tokens to torch, a look at what computed them, and how fresh they are.

    ros2 run omnivla_vision policy_stub.py --ros-args -r tokens:=/vision_node/tokens -p fingerprint:=...

Copy it and put the policy where it says so. It needs omnivla_vision on the Python path, and nothing of its network.
"""

from __future__ import annotations

import sys

from omnivla_vision.process import signals

signals.exit_at_once()  # the imports below take seconds, and Ctrl-C during them would end in a traceback

import rclpy  # noqa: E402
import torch  # noqa: E402
from omnivla_vision.msg import VisualTokens  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402

from omnivla_vision.ros.program import run_node  # noqa: E402
from omnivla_vision.tokens import TokenFormatError, unpack_outputs_torch  # noqa: E402


class PolicyStub(Node):
    """Subscribes `tokens` (VisualTokens) and logs, every second, what a policy would have to work with."""

    def __init__(self) -> None:
        super().__init__("policy_stub")
        # The weights that the policy was trained with. Empty: take whatever comes, and say what it is.
        self._expected = self.declare_parameter("fingerprint", "").value
        self._received = 0
        self._age_s = 0.0
        self._summary = "no tokens yet"
        # Reliable, as the node publishes; only the newest, since acting on old tokens is worse than on none.
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(VisualTokens, "tokens", self._on_tokens, newest)
        self.create_timer(1.0, self._report)

    def _on_tokens(self, message: VisualTokens) -> None:
        if self._expected and message.fingerprint != self._expected:
            self.get_logger().error(
                f"tokens of {message.fingerprint}; this policy needs {self._expected}", throttle_duration_sec=5.0
            )
            return
        try:
            outputs = unpack_outputs_torch(message)  # one [images, tokens, width] each; most presets have one
        except TokenFormatError as error:
            self.get_logger().error(f"broken tokens: {error}", throttle_duration_sec=5.0)
            return
        images = {  # the rows of each output's images: [tokens, width]
            output.name: dict(zip(output.image_names, outputs[output.name], strict=True)) for output in message.outputs
        }
        missing = {n for n, valid in zip(message.past_image_names, message.past_image_valid, strict=True) if not valid}
        self._act(images, missing if message.goal_valid else {*missing, "goal"})
        now = self.get_clock().now()
        self._received += 1
        self._age_s = (now - rclpy.time.Time.from_msg(message.header.stamp)).nanoseconds / 1e9
        described = ", ".join(
            f"{name} {list(tokens.shape)} {str(tokens.dtype).removeprefix('torch.')}"
            for name, tokens in outputs.items()
        )
        self._summary = (
            f"{described} of {message.fingerprint}, goal {message.goal_id[:8] if message.goal_valid else 'none'}"
        )

    def _act(self, outputs: dict[str, dict[str, torch.Tensor]], missing: set[str]) -> None:
        """The policy goes here: its attention mask leaves out the rows of `missing` images, which are zeros."""

    def _report(self) -> None:
        self.get_logger().info(f"{self._received} Hz, {self._age_s * 1e3:.0f} ms old: {self._summary}")
        self._received = 0


if __name__ == "__main__":
    sys.exit(run_node(PolicyStub))  # until SIGINT or SIGTERM
