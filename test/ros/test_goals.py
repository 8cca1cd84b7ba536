"""Goals: where they come from, when they take effect, and what is said about them."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from omnivla_vision.goal import content_id
from omnivla_vision.images.files import read_rgb
from omnivla_vision.resources import resource_path
from omnivla_vision.ros.messages import bytes_field, ns_to_stamp, stamp_to_ns
from test.ros.conftest import Setup, encode_one, frame, running
from test.ros.control import ACTIVATE, DEACTIVATE

BLACK: NDArray[np.uint8] = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def pictures() -> list[NDArray[np.uint8]]:
    """Small and all different."""
    return list(np.random.default_rng(3).integers(0, 256, (5, 40, 60, 3), np.uint8))


def wait_for_goal(setup: Setup, goal_id: str) -> None:
    setup.wait_for(lambda: setup.probe.goal_statuses and setup.probe.goal_statuses[-1].id == goal_id, "the goal")


def test_the_status_is_latched_and_complete(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    with running(tmp_path / "log", encode_ms=0) as setup:
        wait_for_goal(setup, "")  # also this one was published before the probe was connected
        assert not setup.probe.goal_statuses[-1].valid
        setup.probe.goal.publish(frame(pictures[0]))
        wait_for_goal(setup, content_id(pictures[0]))
        status = setup.probe.goal_statuses[-1]
        assert status.valid
        assert (status.height, status.width) == (40, 60)
        assert stamp_to_ns(status.stamp) == stamp_to_ns(frame(pictures[0]).header.stamp)
        said = len(setup.probe.goal_statuses)
        setup.probe.goal.publish(frame(pictures[0], 1))  # the same again is not news
        encode_one(setup.probe, frame(BLACK, 1))
        assert len(setup.probe.goal_statuses) == said


def test_a_goal_from_a_file(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    path = resource_path("resource/parity/stream.png")
    with running(tmp_path / "log", encode_ms=0, goal_image_path=path) as setup:
        expected = content_id(read_rgb(path))
        wait_for_goal(setup, expected)
        assert encode_one(setup.probe, frame(BLACK)).goal_id == expected
        setup.probe.goal.publish(frame(pictures[0]))
        wait_for_goal(setup, content_id(pictures[0]))


def test_clearing(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    with running(tmp_path / "log", encode_ms=0) as setup:
        setup.probe.goal.publish(frame(pictures[0]))
        wait_for_goal(setup, content_id(pictures[0]))
        answer = setup.control.clear_goal()
        assert answer.success
        message = encode_one(setup.probe, frame(BLACK, 1))
        assert not message.goal_valid
        assert not np.frombuffer(message.data, np.uint8)[len(message.data) // 2 :].any()
        wait_for_goal(setup, "")
        # The latched message that was cleared does not come back through a pause.
        assert setup.control.change_state(DEACTIVATE)
        setup.wait_for_closed_topics()
        assert setup.control.change_state(ACTIVATE)
        setup.wait_for_topics()
        time.sleep(0.5)
        assert not encode_one(setup.probe, frame(BLACK, 2)).goal_valid
        setup.probe.goal.publish(frame(pictures[1]))
        wait_for_goal(setup, content_id(pictures[1]))
        assert setup.control.change_state(DEACTIVATE)
        assert setup.control.clear_goal().success
        wait_for_goal(setup, "")


def test_clearing_before_configure_says_so(tmp_path: Path) -> None:
    with running(tmp_path / "log", connect=False, autostart=False, encode_ms=0) as setup:
        answer = setup.control.clear_goal()
        assert not answer.success
        assert answer.message == "there is no goal: the node is unconfigured"


def test_goals_that_change_all_the_time(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    """No message mixes two goals, and frames go on: a goal costs them one encode each."""
    with running(tmp_path / "log", encode_ms=40) as setup:
        probe = setup.probe
        ids = {content_id(picture) for picture in pictures}
        numbers = itertools.count()

        def every_goal_came() -> bool:
            """Send a frame, and a goal every other time; where goals always went first, no tokens would come."""
            number = next(numbers)
            probe.camera.publish(frame(BLACK, number))
            if number % 2:
                probe.goal.publish(frame(pictures[number // 2 % 5], number))
            return len(probe.tokens) > 10 and {m.goal_id for _, m in probe.tokens if m.goal_valid} >= ids

        setup.wait_for(every_goal_came, "frames with every goal")
        assert {m.goal_id for _, m in probe.tokens if m.goal_valid} == ids
        stamps = [stamp_to_ns(m.header.stamp) for _, m in probe.tokens]
        assert stamps == sorted(stamps)


def test_a_goal_that_is_no_image(setup: Setup, pictures: list[NDArray[np.uint8]]) -> None:
    setup.probe.goal.publish(frame(pictures[0]))
    wait_for_goal(setup, content_id(pictures[0]))
    broken = frame(pictures[1], 1)
    broken.step = 7
    setup.probe.goal.publish(broken)
    setup.wait_for(lambda: setup.probe.diagnostics("goal").get("rejected") == "1", "the refusal")
    report = setup.probe.reports["goal"][-1]
    assert report.level == b"\1"
    assert report.message.startswith("goal image refused, the previous goal stays: found step 7")
    assert encode_one(setup.probe, frame(BLACK, 5)).goal_id == content_id(pictures[0])
    setup.probe.goal.publish(frame(pictures[2], 2))
    wait_for_goal(setup, content_id(pictures[2]))


def test_a_compressed_goal_beside_a_raw_camera(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    _, png = cv2.imencode(".png", pictures[0][..., ::-1])
    message = CompressedImage(format="png", data=bytes_field(png.reshape(-1)))
    message.header.stamp = ns_to_stamp(5)
    with running(tmp_path / "log", encode_ms=0, goal_transport="compressed") as setup:
        setup.probe.goal.publish(message)
        wait_for_goal(setup, content_id(pictures[0]))
        assert encode_one(setup.probe, frame(BLACK)).goal_id == content_id(pictures[0])
