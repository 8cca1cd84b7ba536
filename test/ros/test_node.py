"""The node seen from outside: what it publishes for what it receives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal, content_id
from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.ros.drive.probe import Probe
from omnivla_vision.ros.messages import bytes_field, image_message, stamp_to_ns
from omnivla_vision.tokens.packing import pack, unpack
from test.ros.conftest import RECEIVE, SHARED, STAMP_NS, TIMEOUT_S, encode_one, frame


def set_goal(probe: Probe, rgb: NDArray[np.uint8], publisher: Any = None) -> None:
    (publisher or probe.goal).publish(image_message(rgb, stamp_ns=42, frame_id="goal"))
    probe.wait_for(lambda: probe.diagnostics("goal").get("id") == content_id(rgb), what="the goal", timeout_s=TIMEOUT_S)


def test_without_a_goal(probe: Probe, photographs: list[NDArray[np.uint8]], reference: VisionEncoder) -> None:
    """First in this file: the node has not been given a goal yet."""
    message = encode_one(probe, frame(photographs[0]))
    tokens = unpack(message)
    assert tokens.shape == (512, 1152)
    assert not message.goal_valid
    assert message.goal_id == ""
    assert not tokens[256:].any()
    reference.set_goal(None)
    assert np.array_equal(tokens, unpack(pack(reference.encode(photographs[0]).tokens, "float16")))


def test_the_message_says_what_it_is(probe: Probe, photographs: list[NDArray[np.uint8]]) -> None:
    message = encode_one(probe, frame(photographs[0], 1))
    assert stamp_to_ns(message.header.stamp) == STAMP_NS + 1
    assert message.header.frame_id == "front_camera"
    assert list(message.shape) == [512, 1152]
    assert list(message.image_names) == ["current", "goal"]
    assert (message.tokens_per_image, message.grid_height, message.grid_width) == (256, 16, 16)
    assert dict(zip(message.segment_names, message.segment_widths, strict=True)) == {"dinov2": 384, "siglip": 768}
    assert message.space == "fused"
    assert (message.preset, message.weights, message.engine) == ("small", "random", "eager")
    assert message.fingerprint == "weights: random, seed 5, small"
    assert message.preprocessing_id.startswith("resize-naive:bicubic")
    assert list(message.stage_names) == [*RECEIVE, "wait", "decode", "preprocess", "encode", "pack"]
    assert all(milliseconds >= 0 for milliseconds in message.stage_ms)


def test_a_goal_set_late_and_replaced(
    probe: Probe, photographs: list[NDArray[np.uint8]], reference: VisionEncoder
) -> None:
    for number, goal in enumerate((photographs[1], photographs[2]), start=2):
        set_goal(probe, goal)
        message = encode_one(probe, frame(photographs[0], number))
        assert message.goal_valid
        assert message.goal_id == content_id(goal)
        assert stamp_to_ns(message.goal_stamp) == 42
        reference.set_goal(Goal(rgb=goal))
        assert np.array_equal(unpack(message), unpack(pack(reference.encode(photographs[0]).tokens, "float16")))


def test_the_same_goal_again_costs_nothing(probe: Probe, photographs: list[NDArray[np.uint8]]) -> None:
    set_goal(probe, photographs[3])
    encodes = probe.diagnostics("goal")["goal_encodes"]
    for number in (10, 11):
        probe.goal.publish(image_message(photographs[3], stamp_ns=number, frame_id="goal"))
        encode_one(probe, frame(photographs[0], number))
    received = len(probe.reports["goal"])
    # The one that comes next may have been made before.
    probe.wait_for(lambda: len(probe.reports["goal"]) >= received + 2, what="reports", timeout_s=TIMEOUT_S)
    assert probe.diagnostics("goal")["goal_encodes"] == encodes


def test_a_goal_from_a_publisher_that_does_not_latch(probe: Probe, photographs: list[NDArray[np.uint8]]) -> None:
    volatile = probe.node.create_publisher(
        Image, "goal_image", QoSProfile(depth=1, durability=DurabilityPolicy.VOLATILE)
    )
    # The node's latched subscription does not match this publisher; its other one must.
    probe.wait_for(lambda: volatile.get_subscription_count() == 2, what="a match", timeout_s=TIMEOUT_S)
    set_goal(probe, photographs[4], volatile)
    assert encode_one(probe, frame(photographs[0], 20)).goal_id == content_id(photographs[4])


def test_bad_images_are_refused_and_good_ones_still_give_the_same_tokens(
    probe: Probe, node: NodeProcess, photographs: list[NDArray[np.uint8]]
) -> None:
    before = encode_one(probe, frame(photographs[0], 30))
    bad = [frame(photographs[0]) for _ in range(4)]
    bad[0].encoding = "16UC1"
    bad[1].data = bad[1].data[:-1]
    bad[2].step = 1
    bad[3].height = bad[3].width = 65535
    for number, message in enumerate(bad, start=1):
        rejected = int(probe.diagnostics("frames").get("rejected", "0"))
        probe.camera.publish(message)
        probe.goal.publish(message)
        probe.wait_for(
            lambda rejected=rejected: int(probe.diagnostics("frames")["rejected"]) > rejected,
            what=f"refusal {number}",
            timeout_s=TIMEOUT_S,
        )
    node.check()
    assert "camera image refused" in node.log.read_text()
    after = encode_one(probe, frame(photographs[0], 31))
    assert after.data == before.data
    assert after.goal_id == before.goal_id


@pytest.mark.parametrize("encoding", ["bgr8", "bgra8"])
def test_other_encodings_give_the_same_tokens(
    probe: Probe, photographs: list[NDArray[np.uint8]], encoding: str
) -> None:
    rgb = photographs[0]
    expected = encode_one(probe, frame(rgb, 40)).data
    message = frame(rgb, 41)
    pixels = rgb[..., ::-1] if encoding == "bgr8" else np.dstack([rgb[..., ::-1], np.zeros(rgb.shape[:2], np.uint8)])
    padded = np.pad(pixels.reshape(rgb.shape[0], -1), ((0, 0), (0, 5)), constant_values=99)
    message.encoding, message.step, message.data = encoding, padded.shape[1], bytes_field(padded)
    assert encode_one(probe, message).data == expected


def test_frames_add_up_when_the_camera_is_faster_than_the_network(
    probe: Probe, photographs: list[NDArray[np.uint8]]
) -> None:
    received = len(probe.reports["frames"])  # those that come after the next count what the tests before have sent
    probe.wait_for(lambda: len(probe.reports["frames"]) >= received + 2, what="reports", timeout_s=TIMEOUT_S)
    before = {key: int(value) for key, value in probe.diagnostics("frames").items()}
    start = len(probe.tokens)
    small = np.ascontiguousarray(photographs[0][:240, :240])
    for burst in range(0, 60, 3):  # fewer than the subscription's queue holds, whenever the node looks at it
        for number in (burst, burst + 1):
            probe.camera.publish(frame(small, 100 + number))
        encode_one(probe, frame(small, 100 + burst + 2))

    def counts() -> dict[str, int]:
        return {key: int(value) - before[key] for key, value in probe.diagnostics("frames").items()}

    probe.wait_for(
        lambda: counts()["received"] == 60 and int(probe.diagnostics("frames")["in_flight"]) == 0,
        what="60 frames to settle",
        timeout_s=TIMEOUT_S,
    )
    final = counts()
    assert final["superseded"] > 0
    assert final["published"] + final["superseded"] == 60
    probe.wait_for(lambda: len(probe.tokens) - start == final["published"], what="every message", timeout_s=TIMEOUT_S)
    stamps = [stamp_to_ns(message.header.stamp) for _, message in probe.tokens[start:]]
    assert stamps == sorted(stamps)
    assert stamps[-1] == STAMP_NS + 159  # the newest frame was not the one to be dropped


def test_the_log_announces_random_weights(probe: Probe, node: NodeProcess) -> None:
    assert "RANDOM WEIGHTS" in node.log.read_text()


def test_the_topics_are_named_relative_to_the_namespace(probe: Probe) -> None:
    assert probe.tokens or probe.node.count_publishers(f"{SHARED}/vision_node/tokens") == 1
