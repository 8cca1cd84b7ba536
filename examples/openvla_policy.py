#!/usr/bin/env python3
"""OmniVLA on the vision node's tokens: waypoints and a velocity out, and a stop whenever something is not as it should.

    ros2 launch omnivla_vision openvla_policy.launch.py checkpoint:=... code:=... trust_remote_code:=true

It runs the policy's own Python code, which it is told to trust, without its vision.
"""

from __future__ import annotations

import sys

from omnivla_vision.process import signals

signals.exit_at_once()  # the imports below take seconds, and Ctrl-C during them would end in a traceback

import math  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from geometry_msgs.msg import PoseStamped, Twist  # noqa: E402
from nav_msgs.msg import Path as Waypoints  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from omnivla_goals import Goals, ParameterError, age_s  # noqa: E402
from omnivla_model import OmniVla  # noqa: E402
from omnivla_vision.msg import VisualTokens  # noqa: E402
from policy_thread import Decision, PolicyThread  # noqa: E402
from rcl_interfaces.msg import ParameterDescriptor  # noqa: E402
from rclpy.clock import Clock, ClockType  # noqa: E402
from rclpy.exceptions import ParameterException  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rclpy.time import Time  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from omnivla_vision.errors import VisionError  # noqa: E402
from omnivla_vision.policy.velocity import Velocity, towards  # noqa: E402
from omnivla_vision.ros.program import run_node  # noqa: E402

# Which waypoint is driven to (`waypoint_select` of OmniVLA's script).
WAYPOINT = 4
LOADING, WAITING = "loading the policy", "waiting for tokens"


class PolicyNode(Node):
    """Subscribes `tokens`, `goal_pose` and `prompt`; publishes `waypoints` and `cmd_vel`.

    The model runs in a thread of its own: while it thinks, or hangs, the velocity still ends in time.
    """

    def __init__(self) -> None:
        super().__init__("openvla_policy")
        text, number, flag = self._text, self._positive, self._flag
        self._checkpoint = text("checkpoint", "", "the policy's folder, the same as the vision node's")
        self._code = text("code", "", "the folder that holds OmniVLA's `prismatic`; empty: it is installed")
        self._space = text("space", "fused", "the vision node's")
        self._image_path = text("image_path", "", "the vision node's")
        self._trusted = flag("trust_remote_code", False, "whether to run the Python code of the policy")
        self._random = flag("allow_random_weights", False, "move on tokens that mean nothing; for trying out")
        self._max_age_s = number("max_age", 1.0, "s; on older tokens or an older pose the robot stops")
        self._frame = text("robot_frame", "base_link", "whose x is forward and y left: of goal poses and waypoints")
        goals = self.declare_parameter("goals", ["image"], described("what to follow: image, pose, language")).value
        self._goals = Goals(tuple(goals or ()), self._frame, self._max_age_s)
        self._goals.prompt = text("prompt", "", "what to do, until the topic says another thing")
        self._limits = number("max_linear", 0.3, "m/s"), number("max_angular", 0.3, "rad/s")
        code = self._code or "the prismatic that is installed"
        if not self._checkpoint or not self._trusted:
            raise ParameterError(
                f"found checkpoint {self._checkpoint!r} and trust_remote_code {self._trusted}; expected the policy's "
                f"folder, and true: the Python code of {code} will run with all the rights of this process; read it, "
                "then set both"
            )
        self.get_logger().warning(f"running the policy's own Python code: {code}")
        # Reliable, as the node publishes; only the newest, since acting on old tokens is worse than on none.
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._waypoints = self.create_publisher(Waypoints, "waypoints", newest)
        self._velocity = self.create_publisher(Twist, "cmd_vel", newest)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(VisualTokens, "tokens", self._on_tokens, newest)
        self.create_subscription(PoseStamped, "goal_pose", self._on_pose, newest)
        # A publisher that latches is heard by both, one that does not (`ros2 topic pub`) by the first alone.
        for durability in (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL):
            self.create_subscription(String, "prompt", self._on_prompt, QoSProfile(depth=1, durability=durability))
        # Not the ROS clock's: when a simulation's stands still, the robot must be told to.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1 / number("rate", 10.0, "velocities a second"), self._drive, clock=steady)
        self.create_timer(1.0, self._report, clock=steady)
        self._state, self._said = LOADING, ""
        self._shown: Decision | None = None
        self.thread = PolicyThread(self._load, self._decide)

    # What comes in

    def _on_tokens(self, message: VisualTokens) -> None:
        self.thread.put(message)

    def _on_pose(self, message: PoseStamped) -> None:
        self._goals.pose = message

    def _on_prompt(self, message: String) -> None:
        self._goals.prompt = message.data

    # In the thread

    def _load(self) -> OmniVla:
        model = OmniVla(
            self._code,
            Path(self._checkpoint),
            space=self._space,
            image_path=self._image_path,
            allow_random=self._random,
        )
        for warning in model.port.expected.warnings:
            self.get_logger().warning(warning)
        return model

    def _decide(self, model: OmniVla, message: VisualTokens) -> NDArray[np.float32]:
        return model.waypoints(
            message,
            image="image" in self._goals.followed,
            pose=self._goals.pose_at(self.get_clock().now()),
            prompt=self._goals.prompt_now(),
        )

    # What goes out, and when not

    def _drive(self) -> None:
        decision = self.thread.decision
        velocity = Velocity()
        self._state = self._why_not(decision)
        if decision is not None and decision is not self._shown:
            self._shown = decision
            if not decision.refused:
                self._show(decision)
        if decision is not None and not self._state:
            velocity = towards(*map(float, decision.waypoints[WAYPOINT])).limited(*self._limits)
        message = Twist()
        message.linear.x, message.angular.z = velocity.linear, velocity.angular
        self._velocity.publish(message)
        if self._state != self._said:
            self._said = self._state
            if self._state:
                self.get_logger().warning(f"stopped: {self._state}")
            else:
                self.get_logger().info("driving")
        if self.thread.failed:
            rclpy.try_shutdown()

    def _why_not(self, decision: Decision | None) -> str:
        """Why the robot must not move; empty: it may."""
        if self.thread.failed:
            return f"the policy cannot be loaded: {self.thread.failed}"
        if decision is None:
            return WAITING if self.thread.loaded else LOADING
        if decision.refused:
            return decision.refused
        # By both clocks: a simulation's may stand still, and another host's may differ.
        silent_s = time.monotonic() - decision.received_s
        taken_s = age_s(self.get_clock().now(), Time.from_msg(decision.message.header.stamp))
        if max(silent_s, abs(taken_s)) > self._max_age_s:
            # Without a figure that changes all the time: it is logged once.
            return f"the newest tokens are not of the last {self._max_age_s} s"
        return ""

    def _show(self, decision: Decision) -> None:
        message = Waypoints()
        message.header.stamp, message.header.frame_id = decision.message.header.stamp, self._frame
        for x, y, cosine, sine in decision.waypoints.tolist():
            pose = PoseStamped(header=message.header)
            pose.pose.position.x, pose.pose.position.y = x, y
            yaw = math.atan2(sine, cosine)
            pose.pose.orientation.z, pose.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
            message.poses.append(pose)
        self._waypoints.publish(message)

    def _report(self) -> None:
        status = DiagnosticStatus(name=f"{self.get_name()}: policy", hardware_id=self.get_fully_qualified_name())
        status.level = DiagnosticStatus.WARN if self._state else DiagnosticStatus.OK
        status.message = f"stopped: {self._state}" if self._state else "driving"
        status.values = [KeyValue(key="goals", value=", ".join(self._goals.followed))]
        report = DiagnosticArray(status=[status])
        report.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(report)

    def _text(self, name: str, default: str, description: str) -> str:
        return str(self.declare_parameter(name, default, described(description)).value)

    def _flag(self, name: str, default: bool, description: str) -> bool:
        return bool(self.declare_parameter(name, default, described(description)).value)

    def _positive(self, name: str, default: float, description: str) -> float:
        # So that `max_age:=2` is a number, too, and not of the wrong type.
        value = self.declare_parameter(name, default, described(description, dynamic_typing=True)).value
        if not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
            raise ParameterError(f"found {name} {value}; expected a number above 0, in {description}")
        return float(value)


def described(description: str, *, dynamic_typing: bool = False) -> ParameterDescriptor:
    """For `ros2 param describe`; nothing here changes while the node runs."""
    return ParameterDescriptor(description=description, read_only=True, dynamic_typing=dynamic_typing)


def main() -> int:
    """Run until SIGINT or SIGTERM; 1 where the policy cannot run."""
    nodes: list[PolicyNode] = []

    def make() -> PolicyNode:
        nodes.append(PolicyNode())
        return nodes[0]

    try:
        code = run_node(make)
    except (VisionError, ParameterException) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        for node in nodes:
            node.thread.end()
    return code or int(any(bool(node.thread.failed) for node in nodes))


if __name__ == "__main__":
    sys.exit(main())
