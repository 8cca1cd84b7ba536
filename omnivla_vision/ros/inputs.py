"""What the node listens to while it is active: cameras and goals, paired where the parameters say so."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header

from omnivla_vision.images.raw import ImageError, ImageSource
from omnivla_vision.live.frames import Frame, GoalImage
from omnivla_vision.live.worker import EncodeWorker
from omnivla_vision.ros import qos
from omnivla_vision.ros.camera import ImageTopic, typed_topic
from omnivla_vision.ros.messages import image_source, stamp_to_ns
from omnivla_vision.ros.pairing import Pairing
from omnivla_vision.ros.settings import EXACT, LATCHED, VisionParameters


@dataclass(frozen=True, kw_only=True)
class _Image:
    """One message on its way through pairing, which wants a `header`."""

    source: ImageSource
    header: Header
    stamp_ns: int
    receive_ms: float | None


class Inputs:
    """The subscriptions, from activate to deactivate.

    Args:
        node: owns the subscriptions.
        settings: the node's parameters.
        worker: gets the frames and the goals.
        seen_goals: source timestamps of the goals received so far; kept by the node from one activation to the next.
        changed: called when publishers come, go, or turn out to be incompatible.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: VisionParameters,
        worker: EncodeWorker[Header],
        *,
        seen_goals: deque[int],
        changed: Any,
    ) -> None:
        self.cameras: list[ImageTopic] = []
        self.goal_topic = ""
        self._node = node
        self._settings = settings
        self._worker = worker
        self._seen_goals = seen_goals
        self._goals: list[Any] = []
        self._goal_comes_along = settings.pairing != LATCHED
        self._pairing = pairing(settings, self._on_set)
        for index, topic in enumerate(_camera_topics(settings)):
            self._open(index, topic, settings.image_transport, changed)
        if self._goal_comes_along:
            self._open(len(self.cameras), "goal_image", settings.goal_image_transport, changed)
            self.goal_topic = self.cameras[-1].topic
        else:
            self._open_goals()

    def clock_jumped_back(self) -> None:
        """Time starts over: what waits for a partner will not get one."""
        if self._pairing is not None:
            self._pairing.reset()

    def close(self) -> None:
        """Destroy the subscriptions."""
        for camera in self.cameras:
            camera.close()
        for goal in self._goals:
            self._node.destroy_subscription(goal)

    def _open(self, index: int, name: str, transport: str, changed: Any) -> None:
        received = partial(self._on_image, index)
        self.cameras.append(ImageTopic(self._node, name, transport=transport, received=received, changed=changed))

    def _open_goals(self) -> None:
        kind, topic = typed_topic("goal_image", self._settings.goal_image_transport)
        for entity, profile in (("latched", qos.latched()), ("volatile", qos.volatile())):
            subscription = self._node.create_subscription(
                kind,
                topic,
                self._on_goal,
                profile,
                # Every publisher that does not latch is incompatible with the first subscription, and meant to be.
                event_callbacks=qos.events(matched=lambda count: None, incompatible=lambda policy: None),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(entity_id=entity),
            )
            self._goals.append(subscription)
        self.goal_topic = str(self._goals[0].topic_name)

    def _on_image(self, index: int, message: Any, info: Any) -> None:
        try:
            image = self._image(message, info)
            image.source.check()
        except ImageError as error:
            self._worker.refuse(error)
            return
        self.cameras[index].arrived(image.stamp_ns)
        if self._pairing is None:
            self._on_set([image])
        else:
            self._pairing.add(index, image, image.stamp_ns)

    def _image(self, message: Any, info: Any) -> _Image:
        return _Image(
            source=image_source(message, max_pixels=self._settings.max_image_pixels),
            header=message.header,
            stamp_ns=stamp_to_ns(message.header.stamp),
            receive_ms=receive_ms(info),
        )

    def _on_set(self, images: Sequence[_Image]) -> None:
        cameras, goals = (images[:-1], images[-1:]) if self._goal_comes_along else (images, ())
        self._worker.offer(
            Frame(
                images=tuple(image.source for image in cameras),
                header=cameras[0].header,
                stamp_ns=cameras[0].stamp_ns,
                received_s=time.perf_counter(),
                receive_ms=max((i.receive_ms for i in cameras if i.receive_ms is not None), default=None),
                goal=GoalImage(image=goals[0].source, stamp_ns=goals[0].stamp_ns) if goals else None,
            )
        )

    def _on_goal(self, message: Any, info: Any) -> None:
        # A latching publisher reaches both subscriptions. Not every middleware has the time of sending.
        sent_ns = info.get("source_timestamp")
        if sent_ns and sent_ns in self._seen_goals:
            return
        self._seen_goals.append(sent_ns)
        try:
            image = self._image(message, info)
        except ImageError as error:
            self._worker.refuse_goal(error)
            return
        self._worker.offer_goal(GoalImage(image=image.source, stamp_ns=image.stamp_ns))


def receive_ms(info: Any) -> float | None:
    """Milliseconds since the middleware received a message; None where it does not tell, as CycloneDDS does not."""
    received_ns = int(info.get("received_timestamp") or 0)
    return max(0.0, (time.time_ns() - received_ns) / 1e6) if received_ns else None


def pairing(settings: VisionParameters, complete: Any) -> Pairing | None:
    """What the parameters need to be paired, or None when every image stands for itself.

    Raises:
        MissingMessageFiltersError: message_filters is needed and not installed.
    """
    streams = len(settings.cameras) + (settings.pairing != LATCHED)
    if streams == 1:
        return None
    return Pairing(streams, None if settings.pairing == EXACT else settings.pairing_slop, complete)


def _camera_topics(settings: VisionParameters) -> list[str]:
    if len(settings.cameras) == 1:
        return ["image_raw"]
    return [f"{name}/image_raw" for name in settings.cameras]
