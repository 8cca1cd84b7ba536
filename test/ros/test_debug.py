"""Pictures of what the network sees, while someone looks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from omnivla_vision.ros.messages import stamp_to_ns
from test.ros.conftest import Setup, encode_one, frame, running


def picture(message: Image) -> NDArray[np.uint8]:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def test_pictures_only_while_someone_looks(tmp_path: Path, photographs: list[NDArray[np.uint8]]) -> None:
    rgb = cv2.resize(photographs[0], (320, 240))
    with running(tmp_path / "log", seed=5, debug__rate=100.0, debug__height=128) as setup:
        received: dict[str, list[Image]] = {"pca": [], "goal_similarity": []}
        number = 0

        def look(setup: Setup, name: str, count: int) -> list[Image]:
            nonlocal number
            while len(received[name]) < count:
                number += 1
                encode_one(setup.probe, frame(rgb, number))
                setup.node.check()
            return received[name]

        encode_one(setup.probe, frame(rgb))
        setup.wait_for(lambda: setup.probe.node.count_publishers("/robot/vision_node/debug/pca") == 1, "the topic")
        pca = setup.probe.node.create_subscription(Image, "vision_node/debug/pca", received["pca"].append, 1)
        first, second = look(setup, "pca", 2)[:2]
        assert (first.height, first.encoding, first.header.frame_id) == (128, "rgb8", "front_camera")
        assert first.width == round(320 * 128 / 240) + 8 + 128  # the frame, a gap, the patches
        assert stamp_to_ns(second.header.stamp) > stamp_to_ns(first.header.stamp)
        # The same picture in the same basis: the colours do not flicker.
        assert np.array_equal(picture(first), picture(second))
        assert len(np.unique(picture(first)[:, -128:].reshape(-1, 3), axis=0)) > 50
        setup.probe.node.destroy_subscription(pca)

        setup.probe.node.create_subscription(
            Image, "vision_node/debug/goal_similarity", received["goal_similarity"].append, 1
        )
        cold = picture(look(setup, "goal_similarity", 1)[-1])[:, -128:]
        assert len(np.unique(cold.reshape(-1, 3), axis=0)) == 1  # no goal: nothing is similar to it
        setup.probe.goal.publish(frame(rgb))
        setup.wait_for(lambda: setup.probe.goal_statuses[-1].valid, "the goal")
        warm = picture(look(setup, "goal_similarity", len(received["goal_similarity"]) + 2)[-1])[:, -128:]
        # Every patch is in the goal: all of the hottest colour.
        assert len(np.unique(warm.reshape(-1, 3), axis=0)) == 1
        assert warm[0, 0, 0] > cold[0, 0, 0]
        assert len(received["pca"]) < number
