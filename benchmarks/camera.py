"""A camera: `camera.py NAMESPACE RATE_HZ SECONDS` publishes VGA rgb8 images of noise, best effort."""

from __future__ import annotations

import sys
import time

import numpy as np
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from omnivla_vision.ros.messages import image_message, ns_to_stamp


def main(namespace: str, rate_hz: float, seconds: float) -> None:
    """Publish at a steady rate, once the node listens."""
    rclpy.init()
    node = rclpy.create_node("camera", namespace=namespace)
    publisher = node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    while publisher.get_subscription_count() == 0:
        time.sleep(0.05)
    time.sleep(1)
    rgb = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    message = image_message(rgb, stamp_ns=0, frame_id="camera")
    start = time.monotonic()
    for number in range(round(rate_hz * seconds)):
        time.sleep(max(0.0, start + number / rate_hz - time.monotonic()))
        message.header.stamp = ns_to_stamp(time.time_ns())
        publisher.publish(message)
    time.sleep(1)
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
