"""Qualities of service of the node's topics, and the events about who is connected to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_policy_name_from_kind,
)

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

# Humble has no such event: there the publishers in the graph are counted.
HAS_MATCHED_EVENT = "matched" in inspect.signature(SubscriptionEventCallbacks.__init__).parameters


# Functions, since rclpy writes qos_overrides into the profile that it is given.
def camera() -> QoSProfile:
    """Sensor data: the newest matters, best effort also hears reliable publishers."""
    return QoSProfile(depth=5, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


def tokens() -> QoSProfile:
    """Reliable: one message is larger than what best effort carries through a default transport."""
    return QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


def latched() -> QoSProfile:
    """The last message reaches also who comes later."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def volatile() -> QoSProfile:
    """Hears publishers that do not latch, and those that do, but not what was published before."""
    return QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)


def best_effort() -> QoSProfile:
    """Hears every publisher, and asks nobody to repeat what got lost."""
    return QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)


def incompatibility(publisher: QoSProfile, subscription: QoSProfile) -> str:
    """Why no messages pass from one to the other; empty if they do."""
    compatibility, reason = qos_check_compatible(publisher, subscription)
    return reason.removeprefix("ERROR: ").rstrip(";") if compatibility == QoSCompatibility.ERROR else ""


def events(*, matched: Callable[[int], None], incompatible: Callable[[str], None]) -> SubscriptionEventCallbacks:
    """Event callbacks of a subscription.

    Args:
        matched: called with the number of publishers at every change, where rclpy has that event.
        incompatible: called with the policy's name when a publisher offers what the subscription cannot accept.
    """
    callbacks: dict[str, Any] = {
        "incompatible_qos": lambda info: incompatible(qos_policy_name_from_kind(info.last_policy_kind))
    }
    if HAS_MATCHED_EVENT:
        callbacks["matched"] = lambda info: matched(info.current_count)
    return SubscriptionEventCallbacks(**callbacks)
