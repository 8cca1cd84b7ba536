"""Region and mask of the robot's own body: one real node, its camera's and its goal's images, a policy's port."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.policy import Port, WrongPreprocessingError, expect
from omnivla_vision.ros.messages import image_message
from omnivla_vision.ros.settings import VisionParameters
from omnivla_vision.ros.start_encoder import load_encoder
from omnivla_vision.tokens.packing import unpack
from test.encoders import random_encoder
from test.presets import small_is_shallow
from test.ros.conftest import Setup, encode_one, frame, running
from test.ros.control import ACTIVATE, CONFIGURE

NAMESPACE = "/masked"
REGION = "0,0,1,0.75"
HEIGHT, WIDTH = 96, 128


@pytest.fixture(scope="module")
def mask(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hides what is below row 60, of which the region leaves 12 rows."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[60:] = 255
    file = tmp_path_factory.mktemp("mask") / "mask.png"
    cv2.imwrite(str(file), pixels)
    return file


@pytest.fixture(scope="module")
def setup(mask: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    log = tmp_path_factory.mktemp("node") / "log"
    with running(
        log, namespace=NAMESPACE, seed=5, region=REGION, mask=str(mask), threads=1, output__dtype="float32"
    ) as setup:
        yield setup


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def by_hand(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    seen = rgb[:72].copy()
    seen[60:] = (123, 116, 103)
    return seen


def send_goal(setup: Setup, rgb: NDArray[np.uint8]) -> None:
    setup.probe.goal.publish(image_message(rgb, stamp_ns=time.time_ns(), frame_id="goal"))


def test_a_node_sees_what_region_and_mask_leave_of_camera_and_goal(
    setup: Setup, reference: VisionEncoder, image: NDArray[np.uint8], mask: Path
) -> None:
    goal = image[:, ::-1].copy()
    send_goal(setup, goal)
    setup.wait_for(lambda: setup.probe.goal_statuses and setup.probe.goal_statuses[-1].valid, "the goal")
    message = encode_one(setup.probe, frame(image, 1))
    reference.set_goal(Goal(rgb=by_hand(goal)))
    expected = reference.encode(by_hand(image)).tokens.numpy()
    reference.set_goal(None)
    np.testing.assert_allclose(unpack(message), expected, rtol=0, atol=2e-3)

    same = {"preset": "small", "seed": 5, "allow_random": True, "region": REGION}
    assert Port(expect("", mask=str(mask), **same)).read(message).shape == (1, 512, 1152)
    with pytest.raises(WrongPreprocessingError, match=r"prepared with mask:128x96:.*; expected no such step"):
        Port(expect("", **same)).read(message)


def test_other_sizes_are_refused_and_the_node_goes_on(setup: Setup, image: NDArray[np.uint8]) -> None:
    before = setup.counts()["rejected"]
    setup.probe.camera.publish(frame(image[:, :-1].copy(), 10))
    setup.wait_for(lambda: setup.counts()["rejected"] == before + 1, "the refusal")
    said = setup.node.log.read_text()
    assert "camera image refused: found an image of 127x96 pixels; expected 128x96, as its mask has" in said
    statuses = len(setup.probe.goal_statuses)
    send_goal(setup, image[:-1].copy())
    sentence = "goal image refused, the previous goal stays: found an image of 128x95 pixels"
    setup.wait_for(lambda: sentence in setup.node.log.read_text(), "the refusal")
    assert len(setup.probe.goal_statuses) == statuses
    assert encode_one(setup.probe, frame(image, 11)).goal_valid


def test_what_is_refused_leaves_the_node_alive(tmp_path: Path) -> None:
    with running(tmp_path / "log", connect=False, region="0,0.5,1,0.6") as setup:
        reports = setup.probe.reports["node"]

        def refused(reason: str) -> bool:
            return bool(reports) and reports[-1].message.startswith(f"unconfigured: cannot configure: {reason}")

        reason = "found region 0,0.5,1,0.6, which is not within the image"
        setup.wait_for(lambda: refused(reason), reason)
        for region, mask, reason in (
            ("left=0,0,1,1", "", "found a region for 'left'; expected a camera's name or the goal's"),
            ("", "/nowhere.png", "found no mask /nowhere.png that can be read"),
        ):
            assert setup.control.set("region", region).successful
            assert setup.control.set("mask", mask).successful
            assert not setup.control.change_state(CONFIGURE)
            setup.wait_for(lambda reason=reason: refused(reason), reason)
        assert setup.control.set("mask", "").successful
        assert setup.control.change_state(CONFIGURE)
        assert setup.control.change_state(ACTIVATE)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_parameters_become_the_encoders() -> None:
    settings = VisionParameters(
        preset="small", engine="eager", cameras=("front", "wrist"), region="front=0,0,1,0.8; goal=0,0.1,1,0.9"
    )
    with small_is_shallow():
        encoder = load_encoder(settings, logging.getLogger(__name__))
    parts = encoder.provenance.preprocessing_id.split("|")
    assert parts[:2] == ["front=region:0,0,1,0.8", "goal=region:0,0.1,1,0.9"]
    assert parts[2:] == random_encoder("small").provenance.preprocessing_id.split("|")
