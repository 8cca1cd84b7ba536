"""One image topic and what is known of it: who publishes, how often, how old the images are."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from omnivla_vision.live.arrivals import Arrivals
from omnivla_vision.ros import qos
from omnivla_vision.ros.settings import COMPRESSED


class ImageTopic:
    """A subscription to images as a camera publishes them.

    Args:
        node: owns the subscription.
        name: of the topic, without the transport's suffix.
        transport: "raw" or "compressed".
        received: called with each message and the middleware's information about it.
        changed: called when publishers come, go, or turn out to be incompatible.

    Attributes:
        arrivals: how often the images come, and how old they are then.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        *,
        transport: str,
        received: Callable[[Any, Any], None],
        changed: Callable[[], None],
    ) -> None:
        self.arrivals = Arrivals()
        self._node = node
        self._changed = changed
        self._matched = 0
        self._incompatible_policy = ""
        self._subscription = node.create_subscription(
            *typed_topic(name, transport),
            received,
            qos.camera(),
            event_callbacks=qos.events(matched=self._on_matched, incompatible=self._on_incompatible),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self.topic = str(self._subscription.topic_name)

    @property
    def publishers(self) -> int:
        """How many publishers this subscription is connected to."""
        return self._matched if qos.HAS_MATCHED_EVENT else sum(self._compatible())

    @property
    def incompatible(self) -> str:
        """The policy by which a publisher differs that is there now; empty if none does."""
        # No event says that it has gone.
        return "" if all(self._compatible()) else self._incompatible_policy

    def arrived(self, stamp_ns: int) -> None:
        """Note an image's arrival."""
        age_s = (self._node.get_clock().now().nanoseconds - stamp_ns) / 1e9
        self.arrivals.add(time.monotonic(), age_s)

    def close(self) -> None:
        """Destroy the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _compatible(self) -> list[bool]:
        """Of each publisher in the graph, whether this subscription can hear it."""
        offered = self._node.get_publishers_info_by_topic(self.topic)
        return [qos.compatible(publisher.qos_profile, self._subscription.qos_profile) for publisher in offered]

    def _on_matched(self, publishers: int) -> None:
        self._matched = publishers
        self._changed()

    def _on_incompatible(self, policy: str) -> None:
        self._incompatible_policy = policy
        self._node.get_logger().error(
            f"a publisher of {self.topic} offers an incompatible {policy}: no images come from it; change its QoS, or "
            f"this node's with qos_overrides.{self.topic}.subscription"
        )
        self._changed()


def typed_topic(name: str, transport: str) -> tuple[Any, str]:
    """Message type and topic name of an image topic; the suffix is image_transport's."""
    return (CompressedImage, f"{name}/compressed") if transport == COMPRESSED else (Image, name)
