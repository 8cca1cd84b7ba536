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
from omnivla_vision.tokens import TokenFormatError, unpack_torch  # noqa: E402


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
            tokens = unpack_torch(message)
        except TokenFormatError as error:
            self.get_logger().error(f"broken tokens: {error}", throttle_duration_sec=5.0)
            return
        images = tokens.split(message.tokens_per_image)  # one [tokens, width] each, in the order of image_names
        goal_mask = torch.full((message.tokens_per_image,), message.goal_valid)
        self._act(dict(zip(message.image_names, images, strict=True)), goal_mask)
        now = self.get_clock().now()
        self._received += 1
        self._age_s = (now - rclpy.time.Time.from_msg(message.header.stamp)).nanoseconds / 1e9
        self._summary = (
            f"{list(tokens.shape)} {str(tokens.dtype).removeprefix('torch.')} of {message.fingerprint}, "
            f"goal {message.goal_id[:8] if message.goal_valid else 'none'}"
        )

    def _act(self, images: dict[str, torch.Tensor], goal_mask: torch.Tensor) -> None:
        """The policy goes here: its attention mask takes `goal_mask` for the goal's rows."""

    def _report(self) -> None:
        self.get_logger().info(f"{self._received} Hz, {self._age_s * 1e3:.0f} ms old: {self._summary}")
        self._received = 0


if __name__ == "__main__":
    sys.exit(run_node(PolicyStub))  # until SIGINT or SIGTERM
