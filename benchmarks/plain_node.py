"""The yardstick: a node written the way public OmniVLA nodes are, for `node_overhead.py` to compare with.

Everything happens in the subscription's callback: cv_bridge's conversion (here the same arithmetic, since cv_bridge has
no wheel), PIL resize, numpy normalization once per encoder, the goal image anew with every frame, and the tokens as a
std_msgs/Float32MultiArray. The network is the same constant as in `constant_node.py`.
"""

from __future__ import annotations

import sys
import time

import cv2
import numpy as np
import PIL.Image
import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Float32MultiArray, MultiArrayDimension

from omnivla_vision.network.presets import get_preset


class PlainNode(Node):
    """Subscribes image_raw and goal_image, publishes tokens."""

    def __init__(self) -> None:
        super().__init__("plain_node")
        self.preset = get_preset("dinosiglip-224")
        self.goal: Image | None = None
        self.tokens = np.tile(np.linspace(-1, 1, self.preset.width, dtype=np.float32), (512, 1))
        self.publisher = self.create_publisher(Float32MultiArray, "~/tokens", 10)
        self.create_subscription(Image, "goal_image", self.on_goal, 10)
        self.create_subscription(Image, "image_raw", self.on_image, qos_profile_sensor_data)

    def on_goal(self, message: Image) -> None:
        self.goal = message

    def on_image(self, message: Image) -> None:
        current = self.preprocess(message)
        goal = self.preprocess(self.goal) if self.goal is not None else np.zeros_like(current)
        pair = np.concatenate([current, goal])[None]
        tokens = self.network(pair)
        array = Float32MultiArray()
        labels = ("token", "feature")
        array.layout.dim = [MultiArrayDimension(label=n, size=s) for n, s in zip(labels, tokens.shape, strict=True)]
        array.data = tokens.flatten().tolist()
        self.publisher.publish(array)

    def preprocess(self, message: Image) -> NDArray[np.float32]:
        frame = np.frombuffer(bytes(message.data), np.uint8).reshape(message.height, message.width, -1)
        rgb = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), cv2.COLOR_BGR2RGB)  # imgmsg_to_cv2, then to PIL
        small = PIL.Image.fromarray(rgb).resize((224, 224), PIL.Image.Resampling.BICUBIC)
        unit = np.asarray(small, dtype=np.float32) / 255.0
        stacks = [
            (unit - np.array(encoder.mean, np.float32)) / np.array(encoder.std, np.float32)
            for encoder in self.preset.encoders
        ]
        return np.concatenate(stacks, axis=2).transpose(2, 0, 1)

    def network(self, pair: NDArray[np.float32]) -> NDArray[np.float32]:
        assert pair.shape == (1, 12, 224, 224)
        time.sleep(0)
        return self.tokens


def main() -> int:
    """Run until SIGINT or SIGTERM."""
    rclpy.init()
    node = PlainNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
