"""The corridor as a ROS 2 simulator: image_raw, camera_info, goal_image and /clock out, cmd_vel in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from corridor import HEIGHT, WIDTH, Corridor
from geometry_msgs.msg import Twist
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from omnivla_vision.ros.messages import image_message, ns_to_stamp

TICK_S = 0.01  # /clock at 100 Hz
TICKS_PER_FRAME = 10  # the camera at 10 Hz
COMMAND_TIMEOUT_S = 2.0  # a command this old no longer moves the robot
FRAME_ID = "camera"
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Simulator:
    """Runs a Corridor against the wall clock and publishes what its robot senses; one thread calls `spin_once`.

    Args:
        corridor: the world.
        node: owns the topics; another thread spins it.
        record: receives every message that is published: its topic and itself.

    Attributes:
        rate: how many times faster than the wall clock; a slow machine may not reach it.
        paused: while true, nothing moves and nothing is published.
        frames: images published so far.
    """

    def __init__(
        self, corridor: Corridor, node: Node, *, record: Callable[[str, Any], None] = lambda _topic, _message: None
    ) -> None:
        self.rate = 1.0
        self.paused = False
        self.frames = 0
        self._corridor = corridor
        self._record = record
        self._command = Twist()
        self._commanded_s = -COMMAND_TIMEOUT_S
        self._ticks = 0
        self._due_s = time.monotonic()
        self._image = node.create_publisher(Image, "image_raw", RELIABLE)
        self._info = node.create_publisher(CameraInfo, "camera_info", RELIABLE)
        self._goal = node.create_publisher(Image, "goal_image", LATCHED)
        self._clock = node.create_publisher(Clock, "/clock", RELIABLE)
        node.create_subscription(Twist, "cmd_vel", self._on_command, RELIABLE)
        self._publish(self._goal, image_message(corridor.goal_picture(), stamp_ns=0, frame_id=FRAME_ID))

    @property
    def now_ns(self) -> int:
        """Simulated time."""
        return round(self._corridor.time_s * 1e9)

    def reset(self) -> None:
        """Back to the start, at time zero: the clock jumps back."""
        self._corridor.reset()
        self._command, self._commanded_s, self._ticks = Twist(), -COMMAND_TIMEOUT_S, 0

    def spin_once(self) -> None:
        """Wait until the next tick is due, and do it."""
        now = time.monotonic()
        # Time that a slow machine or a pause has cost is not made up for.
        self._due_s = max(self._due_s + TICK_S / self.rate, now)
        time.sleep(self._due_s - now)
        if self.paused:
            return
        if self._ticks % TICKS_PER_FRAME == 0:
            self._publish_frame()
        fresh = self._corridor.time_s - self._commanded_s < COMMAND_TIMEOUT_S
        self._corridor.drive(self._command.linear.x * fresh, self._command.angular.z * fresh)
        self._corridor.step(TICK_S)
        self._ticks += 1
        self._publish(self._clock, Clock(clock=ns_to_stamp(self.now_ns)))

    def _publish_frame(self) -> None:
        image = image_message(self._corridor.look(), stamp_ns=self.now_ns, frame_id=FRAME_ID)
        focal = self._corridor.focal_length()
        x, y = WIDTH / 2, HEIGHT / 2
        info = CameraInfo(header=image.header, width=WIDTH, height=HEIGHT, distortion_model="plumb_bob")
        info.d = [0.0] * 5
        info.k = [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0]
        self._publish(self._image, image)
        self._publish(self._info, info)
        self.frames += 1

    def _publish(self, publisher: Any, message: Any) -> None:
        publisher.publish(message)
        self._record(publisher.topic_name, message)

    def _on_command(self, command: Twist) -> None:
        """In the thread that spins the node; one assignment each, so no lock."""
        self._command, self._commanded_s = command, self._corridor.time_s
