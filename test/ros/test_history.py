"""Past frames over DDS: the values, what a message says of them, and what ends them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from omnivla_vision.msg import VisualTokens
from rosgraph_msgs.msg import Clock

from omnivla_vision.ros.messages import image_message, ns_to_stamp, stamp_to_ns
from omnivla_vision.tokens import unpack_outputs
from test.encoders import random_encoder
from test.ros.coarse_and_fine_node import COARSE_AND_FINE
from test.ros.conftest import STAMP_NS, Setup, encode_one, frame, running
from test.ros.control import ACTIVATE, DEACTIVATE

SECOND = 10**9
BLACK: NDArray[np.uint8] = np.zeros((48, 64, 3), np.uint8)


@pytest.mark.slow
def test_31_past_frames_are_what_the_encoder_gives_by_itself(
    tmp_path: Path, photographs: list[NDArray[np.uint8]]
) -> None:
    images = [np.ascontiguousarray(np.roll(photographs[0], 16 * number, axis=1)) for number in range(33)]
    encoder = random_encoder(COARSE_AND_FINE, seed=5, takes_goal=False)
    expected = [encoder.encode(image) for image in images][-1].by_name
    program = ("-m", "test.ros.coarse_and_fine_node")
    with running(tmp_path / "log", program=program, seed=5, takes_goal=False, output__dtype="float32") as setup:
        messages = [encode_one(setup.probe, frame(image, number)) for number, image in enumerate(images)]
    assert [sum(message.past_image_valid) for message in messages] == [*range(32), 31]
    last, names = messages[-1], [f"t-{age}f" for age in range(1, 32)]
    assert list(last.past_image_names) == names
    assert [stamp_to_ns(stamp) for stamp in last.past_image_stamps] == [STAMP_NS + n for n in range(31, 0, -1)]
    assert [list(output.image_names) for output in last.outputs] == [["current"], ["current", *names]]
    found = unpack_outputs(last)
    assert (found["fine"].shape, found["coarse"].shape) == ((1, 64, 1152), (32, 4, 1152))
    for name, tokens in expected.items():
        np.testing.assert_allclose(found[name], tokens.numpy(), rtol=0, atol=1e-5)
    # And the coarse tokens of a past frame are those that it had when it was the present one.
    then = unpack_outputs(messages[20])["coarse"][0]
    np.testing.assert_array_equal(found["coarse"][12], then)


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

        set_clock(1000)
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
        set_clock(500)
        setup.wait_for(lambda: "the clock jumped by -500" in (tmp_path / "log").read_text(), "the jump")
        assert see(setup, 1007, BLACK[:-8]) == [None, None]
        assert see(setup, 1008, BLACK[:-8]) == [1, None]
        # So does a pause.
        assert setup.control.change_state(DEACTIVATE)
        setup.wait_for_closed_topics()
        assert setup.control.change_state(ACTIVATE)
        setup.wait_for_topics()
        assert see(setup, 1009, BLACK[:-8]) == [None, None]
