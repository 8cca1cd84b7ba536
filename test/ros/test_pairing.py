"""Several cameras, and cameras with goals, paired by time."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from omnivla_vision.goal import Goal, content_id
from omnivla_vision.ros.messages import image_message, stamp_to_ns
from omnivla_vision.tokens.packing import pack, unpack
from test.encoders import random_encoder
from test.ros.conftest import STAMP_NS, Setup, running

MS = 1_000_000
needs_message_filters = pytest.mark.skipif(
    importlib.util.find_spec("message_filters") is None, reason="message_filters is not installed"
)


@pytest.fixture
def pictures() -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(6).integers(0, 256, (4, 40, 60, 3), np.uint8))


def wait_for_subscribers(setup: Setup, *publishers: object) -> None:
    setup.wait_for(lambda: all(p.get_subscription_count() == 1 for p in publishers), "the node to subscribe")
    setup.wait_for(lambda: setup.probe.diagnostics("camera").get("publishers") == "1", "the node to see every camera")


def send(publisher: object, rgb: NDArray[np.uint8], offset_ms: float) -> None:
    publisher.publish(image_message(rgb, stamp_ns=STAMP_NS + round(offset_ms * MS), frame_id="camera"))


@pytest.mark.skipif(importlib.util.find_spec("message_filters") is not None, reason="message_filters is installed")
@pytest.mark.parametrize("given", [{"cameras": ["front", "left"]}, {"pairing": "exact"}])
def test_without_message_filters(tmp_path: Path, given: dict[str, object]) -> None:
    with running(tmp_path / "log", connect=False, encode_ms=0, **given) as setup:
        reports = setup.probe.reports["node"]
        setup.wait_for(lambda: reports and reports[-1].level == b"\2", "the reason")
        assert "message_filters" in reports[-1].message
        assert "apt install ros-$ROS_DISTRO-message-filters" in reports[-1].message
        assert setup.control.state == "unconfigured"


@needs_message_filters
def test_two_cameras(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    """One message of both, in the order of the parameter; images without a partner are left."""
    with running(tmp_path / "log", connect=False, cameras=["front", "left"], seed=5) as setup:
        front, left = (
            setup.probe.node.create_publisher(Image, f"{name}/image_raw", qos_profile_sensor_data)
            for name in ("front", "left")
        )
        wait_for_subscribers(setup, front, left)
        send(left, pictures[1], 7)  # arrives first, stamped later
        send(front, pictures[0], 0)
        setup.wait_for(lambda: setup.probe.tokens, "tokens")
        send(front, pictures[0], 1000)
        send(left, pictures[1], 1200)  # more than pairing_slop apart
        time.sleep(0.5)
        ((_, message),) = setup.probe.tokens
        assert list(message.image_names) == ["front", "left", "goal"]
        assert list(message.shape) == [3 * 256, 1152]
        assert stamp_to_ns(message.header.stamp) == STAMP_NS  # the first camera's
        encoder = random_encoder(seed=5, cameras=("front", "left"))
        expected = unpack(pack(encoder.encode(pictures[:2]).tokens, "float16"))
        assert np.array_equal(unpack(message), expected)
        single = unpack(pack(random_encoder(seed=5).encode(pictures[1]).tokens, "float16"))
        assert np.allclose(unpack(message)[256:512].astype(float), single[:256].astype(float), atol=0.02)
        assert setup.settled(1)["published"] == 1


@needs_message_filters
@pytest.mark.parametrize(("pairing", "apart_ms"), [("exact", 0), ("approximate", 20)])
def test_frames_that_come_with_their_goals(
    tmp_path: Path, pictures: list[NDArray[np.uint8]], pairing: str, apart_ms: int
) -> None:
    with running(tmp_path / "log", connect=False, pairing=pairing, seed=5) as setup:
        camera, goal = setup.probe.camera, setup.probe.goal
        wait_for_subscribers(setup, camera, goal)
        assert not setup.control.clear_goal().success
        encoder = random_encoder(seed=5)
        for number, (picture, aim) in enumerate([(0, 1), (2, 3), (0, 3)]):
            send(camera, pictures[picture], 1000 * number)
            send(goal, pictures[aim], 1000 * number + apart_ms)
            setup.wait_for(lambda number=number: len(setup.probe.tokens) == number + 1, "tokens")
            _, message = setup.probe.tokens[-1]
            assert message.goal_id == content_id(pictures[aim])
            encoder.set_goal(Goal(rgb=pictures[aim]))
            assert np.array_equal(unpack(message), unpack(pack(encoder.encode(pictures[picture]).tokens, "float16")))
        setup.settled(3)
        # The third goal was the second.
        setup.wait_for(lambda: setup.probe.diagnostics("goal")["goal_encodes"] == "2", "the encodes of two goals")


@needs_message_filters
def test_a_bag_that_starts_over(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    """message_filters alone would keep the old stamps, which are the higher ones, and pair nothing any more."""
    with running(tmp_path / "log", connect=False, encode_ms=0, cameras=["a", "b"]) as setup:
        a, b = (setup.probe.node.create_publisher(Image, f"{name}/image_raw", qos_profile_sensor_data) for name in "ab")
        wait_for_subscribers(setup, a, b)
        for lap in range(2):
            for number in range(20):
                send(a, pictures[0], 3000 + 100 * number)
                if number < 10:  # one camera ends early, so that images of the other one wait in vain
                    send(b, pictures[1], 3000 + 100 * number)
                    count = 10 * lap + number + 1
                    setup.wait_for(lambda count=count: len(setup.probe.tokens) == count, "the pair's tokens")
                time.sleep(0.02)
        assert setup.settled(20)["published"] == 20
