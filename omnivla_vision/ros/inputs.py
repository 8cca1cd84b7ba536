"""What the node listens to while it is active: cameras and goals, paired where the parameters say so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from omnivla_vision.images.raw import ImageError, ImageSource
from omnivla_vision.live.frames import Frame, GoalImage
from omnivla_vision.live.goals import GoalOrder
from omnivla_vision.live.worker import EncodeWorker
from omnivla_vision.ros import qos
from omnivla_vision.ros.image_topic import Ear, ImageTopic
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
        order: which goals take effect; kept by the node from one activation to the next.
        changed: called when publishers come, go, or turn out to be incompatible.

    Attributes:
        cameras: the topics of the images that make a frame; with the goal's, where every frame comes with its own.
        goal: the topic of goals that hold until the next one, otherwise None.
    """

    def __init__(
        self,
        node: LifecycleNode,
        settings: VisionParameters,
        worker: EncodeWorker[Header],
        *,
        order: GoalOrder,
        changed: Callable[[], None],
    ) -> None:
        self.cameras: list[ImageTopic] = []
        self.goal: ImageTopic | None = None
        self._node = node
        self._settings = settings
        self._worker = worker
        self._order = order
        self._changed = changed
        self._goal_comes_along = settings.pairing != LATCHED
        self._pairing = pairing(settings, self._on_set)
        with ExitStack() as undo:
            for index, name in enumerate(_camera_topics(settings)):
                self.cameras.append(self._open_camera(undo, index, name, settings.image_transport))
            if self._goal_comes_along:
                index = len(self.cameras)
                self.cameras.append(self._open_camera(undo, index, "goal_image", settings.goal_image_transport))
            else:
                self.goal = self._open_goal(undo)
            self._open = undo.pop_all()

    @property
    def topics(self) -> list[ImageTopic]:
        """All of them."""
        return [*self.cameras, *([self.goal] if self.goal else [])]

    def clock_jumped_back(self) -> None:
        """Time starts over: what waits for a partner will not get one."""
        if self._pairing is not None:
            self._pairing.reset()

    def close(self) -> None:
        """Destroy the subscriptions."""
        self._open.close()

    def _open_camera(self, undo: ExitStack, index: int, name: str, transport: str) -> ImageTopic:
        ears = [Ear(qos.camera(), partial(self._on_image, index))]
        topic = ImageTopic(self._node, name, transport=transport, ears=ears, changed=self._changed)
        undo.callback(topic.close)
        return topic

    def _open_goal(self, undo: ExitStack) -> ImageTopic:
        live = partial(self._on_goal, live=True)
        ears = [
            Ear(qos.latched(), partial(self._on_goal, live=False), "latched"),
            Ear(qos.volatile(), live, "volatile"),
            Ear(qos.best_effort(), live, "best_effort"),
        ]
        transport = self._settings.goal_image_transport
        topic = ImageTopic(self._node, "goal_image", transport=transport, ears=ears, changed=self._changed)
        undo.callback(topic.close)
        return topic

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

    def _on_goal(self, message: Any, info: Any, *, live: bool) -> None:
        # Every goal comes through each subscription that hears its publisher.
        sent_ns, received_ns = (int(info.get(f"{what}_timestamp") or 0) for what in ("source", "received"))
        try:
            image = self._image(message, info)
            image.source.check()
        except ImageError as error:
            if self._order.refuse(sent_ns=sent_ns):
                self._worker.refuse_goal(error)
            return
        if self._order.accept(sent_ns=sent_ns, received_ns=received_ns, live=live):
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
