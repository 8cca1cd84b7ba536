"""One topic of images and what is known of it: who publishes, how often, how old the images are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from omnivla_vision.live.arrivals import Arrivals
from omnivla_vision.ros import qos
from omnivla_vision.ros.settings import COMPRESSED


@dataclass(frozen=True)
class Ear:
    """One way to hear a topic.

    `received` is called with each message and the middleware's information about it; `name` tells the subscription's
    qos_overrides from those of others.
    """

    profile: QoSProfile
    received: Callable[[Any, Any], None]
    name: str | None = None


class ImageTopic:
    """The subscriptions to one topic of images.

    Args:
        node: owns the subscriptions.
        name: of the topic, without the transport's suffix.
        transport: "raw" or "compressed".
        ears: a subscription each. The last one is the least demanding.
        changed: called when publishers come, go, or turn out to be incompatible.

    Attributes:
        topic: the full name.
        arrivals: how often the images come, and how old they are then.
        unheard: of each publisher that no subscription can hear, why; as of the last `look`.
    """

    def __init__(
        self, node: LifecycleNode, name: str, *, transport: str, ears: Sequence[Ear], changed: Callable[[], None]
    ) -> None:
        self.arrivals = Arrivals()
        self.unheard: list[str] = []
        self._node = node
        self._changed = changed
        self._matched = [0] * len(ears)
        self._override = "_".join(("subscription", *filter(None, [ears[-1].name])))
        kind, topic = typed_topic(name, transport)
        self._type = f"sensor_msgs/msg/{kind.__name__}"
        self._subscriptions: list[Any] = []
        with ExitStack() as undo:
            for index, ear in enumerate(ears):
                subscription = node.create_subscription(
                    kind,
                    full_name(node, name, topic),
                    ear.received,
                    ear.profile,
                    event_callbacks=qos.events(matched=partial(self._on_matched, index), incompatible=self._on_event),
                    qos_overriding_options=QoSOverridingOptions.with_default_policies(entity_id=ear.name),
                )
                undo.callback(node.destroy_subscription, subscription)
                self._subscriptions.append(subscription)
            self._open = undo.pop_all()
        self.topic = str(self._subscriptions[0].topic_name)

    @property
    def publishers(self) -> int:
        """How many publishers are heard."""
        if qos.HAS_MATCHED_EVENT:
            return max(self._matched)
        return sum(not self._why_unheard(publisher) for publisher in self._offers())

    def arrived(self, stamp_ns: int) -> None:
        """Note an image's arrival."""
        age_s = (self._node.get_clock().now().nanoseconds - stamp_ns) / 1e9
        self.arrivals.add(time.monotonic(), age_s)

    def look(self) -> None:
        """See who publishes; what cannot be heard is logged, once. No event says that such a publisher has gone."""
        reasons = [reason for publisher in self._offers() if (reason := self._why_unheard(publisher))]
        for reason in sorted(set(reasons) - set(self.unheard)):
            self._node.get_logger().error(f"{self.topic}: {reason}")
        self.unheard = reasons

    def close(self) -> None:
        """Destroy the subscriptions."""
        self._open.close()

    def _offers(self) -> list[Any]:
        return list(self._node.get_publishers_info_by_topic(self.topic))

    def _why_unheard(self, publisher: Any) -> str:
        if publisher.topic_type != self._type:
            return (
                f"a publisher sends {publisher.topic_type}, and this node expects {self._type}; remap the topic, or "
                "change the parameter image_transport or goal_image_transport"
            )
        reasons = [qos.incompatibility(publisher.qos_profile, ear.qos_profile) for ear in self._subscriptions]
        if not all(reasons):
            return ""
        return (
            f"a publisher offers an incompatible QoS ({reasons[-1]}), and nothing comes from it; change it, or this "
            f"node's with qos_overrides.{self.topic}.{self._override}"
        )

    def _on_matched(self, index: int, publishers: int) -> None:
        self._matched[index] = publishers
        self._changed()

    def _on_event(self, policy: str) -> None:
        # Another subscription may hear that publisher.
        self._changed()


def typed_topic(name: str, transport: str) -> tuple[Any, str]:
    """Message type and topic name of an image topic; the suffix is image_transport's."""
    return (CompressedImage, f"{name}/compressed") if transport == COMPRESSED else (Image, name)


def full_name(node: LifecycleNode, name: str, topic: str) -> str:
    """The topic's full name after remapping.

    As with image_transport a rule for `image_raw` moves `image_raw/compressed` along, unless a rule names that itself.
    """
    remapped = str(node.resolve_topic_name(topic))
    if remapped != node.resolve_topic_name(topic, only_expand=True):
        return remapped
    return str(node.resolve_topic_name(name)) + topic.removeprefix(name)
