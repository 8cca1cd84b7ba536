"""Pictures of what the network sees, made only while someone looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal_sequence.contact_sheet import captioned
from omnivla_vision.goal_sequence.source import Picture
from omnivla_vision.live.frames import Result
from omnivla_vision.ros.messages import image_message
from omnivla_vision.ros.settings import VisionParameters
from omnivla_vision.tokens.pictures import PCA_TOPIC, SIMILARITY_TOPIC, PcaBasis, beside, goal_similarity, heat_map

Features = NDArray[np.floating]


class DebugPictures:
    """Publishes `~/debug/pca` and `~/debug/goal_similarity` (sensor_msgs/Image, rgb8) of the first camera.

    `show` runs in the worker's thread, after a frame's tokens are out.
    """

    def __init__(self, node: LifecycleNode, encoder: VisionEncoder) -> None:
        self._node = node
        self._preset = encoder.preset
        self._pca = node.create_publisher(Image, f"~/{PCA_TOPIC}", 1)
        self._similarity = node.create_publisher(Image, f"~/{SIMILARITY_TOPIC}", 1)
        # Fitted to the first frame that is shown and kept: with a basis per frame the colours would flicker.
        self._basis: PcaBasis | None = None
        self._next_s = 0.0

    def show(
        self, result: Result[Header], settings: VisionParameters, node_in_force: Callable[[], Picture | None]
    ) -> None:
        """Publish what someone subscribes to, no more often than `debug.rate`.

        Args:
            result: a frame.
            settings: the parameters as they are now.
            node_in_force: of a goal sequence; its picture stands beside the similarity.
        """
        pca, similarity = (topic.get_subscription_count() > 0 for topic in (self._pca, self._similarity))
        now = time.monotonic()
        if not (pca or similarity) or now < self._next_s:
            return
        self._next_s = now + 1 / settings.debug_rate
        # DINOv2's segment is the first; it tells things apart better than SigLIP's.
        count, width = self._preset.tokens_per_image, self._preset.encoders[0].width
        features = result.tokens.fused[:, :width].float().cpu().numpy()
        current = features[:count]
        if pca:
            self._basis = self._basis or PcaBasis.fit(current)
            picture = self._basis.picture(current, grid=self._preset.grid, height=settings.debug_height)
            self._publish(self._pca, result, picture, settings)
        if similarity:
            # Without a goal nothing is similar to it: the coldest colour everywhere.
            values = goal_similarity(current, features[-count:]) if result.tokens.goal else np.full(count, -1.0)
            picture = heat_map(values, grid=self._preset.grid, height=settings.debug_height)
            node = node_in_force()
            goal = () if node is None else (captioned(node, height=settings.debug_height),)
            self._publish(self._similarity, result, picture, settings, *goal)

    def close(self) -> None:
        """Destroy the publishers."""
        self._node.destroy_publisher(self._pca)
        self._node.destroy_publisher(self._similarity)

    def _publish(self, topic: Any, result: Result[Header], shown: Any, settings: VisionParameters, *goal: Any) -> None:
        rgb = beside(result.pictures[0], shown, *goal, height=settings.debug_height)
        frame = result.frame
        topic.publish(image_message(rgb, stamp_ns=frame.stamp_ns, frame_id=frame.header.frame_id))
