"""Qualities of service of the node's topics, and who is connected to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data

CAMERA = qos_profile_sensor_data
TOKENS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
# Two subscriptions for the goal: the first hears a latched goal published before we started, the second hears
# publishers that do not latch. What both deliver is told apart by its source timestamp.
GOAL_LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
GOAL_VOLATILE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)


def on_matched(callback: Callable[[int], None]) -> Any:
    """Event callbacks of a subscription that report how many publishers it is connected to, at every change.

    None where rclpy has no such event (Humble).
    """
    try:
        from rclpy.event_handler import SubscriptionEventCallbacks
    except ImportError:
        return None
    return SubscriptionEventCallbacks(matched=lambda info: callback(info.current_count))
