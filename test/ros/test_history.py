"""Past frames over DDS: the values, what a message says of them, and what ends them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from omnivla_vision.msg import VisualTokens
from rosgraph_msgs.msg import Clock

from omnivla_vision.network.history import NO_HISTORY
from omnivla_vision.ros.messages import image_message, ns_to_stamp, stamp_to_ns
from omnivla_vision.tokens import unpack_outputs
from test.encoders import random_encoder
from test.ros.conftest import STAMP_NS, Setup, encode_one, frame, running
from test.ros.control import ACTIVATE, DEACTIVATE
from test.ros.robottrack_node import ROBOTTRACK

SECOND = 10**9
BLACK: NDArray[np.uint8] = np.zeros((48, 64, 3), np.uint8)


@pytest.mark.slow
def test_31_past_frames_of_robottrack(tmp_path: Path, photographs: list[NDArray[np.uint8]]) -> None:
    """Fine tokens of the present frame and coarse ones of all, as the encoder gives them of each by itself."""
    images = [np.ascontiguousarray(np.roll(photographs[0], 90 * number, axis=1)) for number in range(5)]
    alone = random_encoder(replace(ROBOTTRACK, history=NO_HISTORY), seed=5, takes_goal=False)
    expected = [{name: tokens.numpy()[0] for name, tokens in alone.encode(image).by_name.items()} for image in images]
    parameters = {"preset": "robottrack-384", "seed": 5, "takes_goal": False, "output__dtype": "float32"}
    with running(tmp_path / "log", program=("-m", "test.ros.robottrack_node"), **parameters) as setup:
        messages = [encode_one(setup.probe, frame(images[number % 5], number)) for number in range(33)]
    assert [sum(message.past_image_valid) for message in messages] == [*range(32), 31]
    last, names = messages[-1], [f"t-{age}f" for age in range(1, 32)]
    assert list(last.past_image_names) == names
    assert [stamp_to_ns(stamp) for stamp in last.past_image_stamps] == [STAMP_NS + n for n in range(31, 0, -1)]
    assert [list(output.image_names) for output in last.outputs] == [["current"], ["current", *names]]
    found = unpack_outputs(last)
    assert (found["fine"].shape, found["coarse"].shape) == ((1, 64, 1536), (32, 4, 1536))
    np.testing.assert_allclose(found["fine"][0], expected[32 % 5]["fine"], rtol=0, atol=1e-5)
    for tokens, number in zip(found["coarse"], range(32, 0, -1), strict=True):
        np.testing.assert_allclose(tokens, expected[number % 5]["coarse"], rtol=0, atol=1e-5)
    assert not unpack_outputs(messages[3])["coarse"][4:].any()  # zeros, where there is nothing yet


def ages(message: VisualTokens) -> list[float | None]:
    """How old the past frames are, in seconds; None of those that there are not."""
    now_ns = stamp_to_ns(message.header.stamp)
    assert list(message.past_image_names) == ["t-1.0s", "t-2.0s"]
    return [
        (now_ns - stamp_to_ns(stamp)) / SECOND if valid else None
        for stamp, valid in zip(message.past_image_stamps, message.past_image_valid, strict=True)
    ]


def see(setup: Setup, seconds: float, rgb: NDArray[np.uint8] = BLACK) -> list[float | None]:
    """Send a frame of that time; the ages of the past ones that come with it."""
    stamp_ns = round(seconds * SECOND)
    return ages(encode_one(setup.probe, image_message(rgb, stamp_ns=stamp_ns, frame_id="camera")))


def test_what_ends_the_past_and_what_does_not(tmp_path: Path) -> None:
    history = {"history__frames": 2, "history__spacing": "1s"}
    with running(tmp_path / "log", encode_ms=0, use_sim_time=True, log__period=0.0, **history) as setup:
        probe = setup.probe
        clock = probe.node.create_publisher(Clock, "/clock", 10)
        setup.wait_for(lambda: clock.get_subscription_count() > 0, "the clock's subscription")

        def set_clock(seconds: float) -> None:
            clock.publish(Clock(clock=ns_to_stamp(round(seconds * SECOND))))

        for _ in range(10):  # /clock is heard with best effort: one alone may get lost
            set_clock(1000)
            time.sleep(0.05)
        assert [see(setup, s) for s in (1000, 1001, 1002)] == [[None, None], [1, None], [1, 2]]
        # A new goal does not.
        probe.goal.publish(frame(BLACK))
        setup.wait_for(lambda: probe.goal_statuses[-1].valid, "the goal")
        assert see(setup, 1003) == [1, 2]
        # Another size does: it may be another camera.
        assert see(setup, 1004, BLACK[:-8]) == [None, None]
        assert see(setup, 1005, BLACK[:-8]) == [1, None]
        # A frame without a stamp is refused, and the node goes on.
        probe.camera.publish(image_message(BLACK, stamp_ns=0, frame_id="camera"))
        setup.wait_for(lambda: setup.counts().get("rejected") == 1, "the refusal")
        assert see(setup, 1006, BLACK[:-8]) == [1, 2]
        # A clock that jumps back does, whatever the frames' own stamps.

        def jumped() -> bool:
            set_clock(500)  # said again, it is no jump
            return "the clock jumped by -500" in setup.node.log.read_text()

        setup.wait_for(jumped, "the jump")
        assert see(setup, 1007, BLACK[:-8]) == [None, None]
        assert see(setup, 1008, BLACK[:-8]) == [1, None]
        # So does a pause.
        assert setup.control.change_state(DEACTIVATE)
        setup.wait_for_closed_topics()
        assert setup.control.change_state(ACTIVATE)
        setup.wait_for_topics()
        assert see(setup, 1009, BLACK[:-8]) == [None, None]
