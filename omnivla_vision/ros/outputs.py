"""What the node publishes about frames and goals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import KnownGoal
from omnivla_vision.goal_sequence.source import Picture
from omnivla_vision.live.frames import Result
from omnivla_vision.msg import GoalStatus, VisualTokens
from omnivla_vision.ros import qos
from omnivla_vision.ros.debug import DebugPictures
from omnivla_vision.ros.messages import goal_status
from omnivla_vision.ros.settings import VisionParameters
from omnivla_vision.ros.token_messages import TokenMessages
from omnivla_vision.tokens.packing import DTYPES


class Outputs:
    """Publishers of `~/tokens`, `~/goal_status` and the debug pictures, from configure to cleanup.

    Args:
        node: owns the publishers.
        encoder: whose tokens they are.
        settings: returns the parameters as they are now.
    """

    def __init__(self, node: LifecycleNode, encoder: VisionEncoder, settings: Callable[[], VisionParameters]) -> None:
        self._encoder = encoder
        self._settings = settings
        self._messages = TokenMessages(encoder.layout, encoder.provenance)
        self._sequence = 0
        overrides = QoSOverridingOptions.with_default_policies()
        with ExitStack() as undo:
            self._tokens = node.create_publisher(
                VisualTokens, "~/tokens", qos.tokens(), qos_overriding_options=overrides
            )
            undo.callback(node.destroy_publisher, self._tokens)
            self._goal_status = node.create_publisher(GoalStatus, "~/goal_status", qos.latched())
            undo.callback(node.destroy_publisher, self._goal_status)
            self._debug = DebugPictures(node, encoder)
            undo.callback(self._debug.close)
            self._open = undo.pop_all()

    @property
    def message_bytes(self) -> int:
        """Size of a token message's tensor with the present parameters."""
        return self._encoder.layout.elements * DTYPES[self._settings().output_dtype].bits // 8

    def restart(self) -> None:
        """The message that comes next is the first since the node was activated."""
        self._sequence = 0

    def publish_tokens(self, result: Result[Header]) -> None:
        """Hand a frame's tokens to the transport."""
        message = self._messages.fill(
            result.tokens,
            header=result.frame.header,
            sequence=self._sequence,
            dtype=self._settings().output_dtype,
        )
        self._tokens.publish(message)
        self._sequence += 1

    def show(self, result: Result[Header], node_in_force: Callable[[], Picture | None]) -> None:
        """Publish the pictures of a frame that someone looks at, and of the goal sequence's node that is in force."""
        self._debug.show(result, self._settings(), node_in_force)

    def publish_goal(self, goal: KnownGoal | None) -> None:
        """Say which goal is in force."""
        self._goal_status.publish(goal_status(goal))

    def close(self) -> None:
        """Destroy the publishers."""
        self._open.close()
