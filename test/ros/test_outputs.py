"""Pooled outputs of one real node, and poolings that are refused without ending it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from omnivla_vision.goal import Goal
from omnivla_vision.policy import Port, WrongOutputsError, expect
from omnivla_vision.ros.messages import image_message
from omnivla_vision.tokens import unpack_outputs
from test.encoders import random_encoder
from test.ros.conftest import encode_one, frame, running
from test.ros.control import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE


@pytest.mark.slow
def test_a_node_pools_and_says_how(tmp_path: Path) -> None:
    image, goal = np.random.default_rng(3).integers(0, 256, (2, 48, 64, 3), np.uint8)
    with running(
        tmp_path / "log",
        namespace="/pooled",
        seed=5,
        engine="eager",
        threads=1,
        output__pool="8x8",
        output__dtype="float32",
    ) as setup:
        setup.probe.goal.publish(image_message(goal, stamp_ns=time.time_ns(), frame_id="goal"))
        setup.wait_for(lambda: setup.probe.goal_statuses and setup.probe.goal_statuses[-1].valid, "the goal")
        message = encode_one(setup.probe, frame(image, 1))
        reference = random_encoder("small", seed=5, output_pool="8x8")
        reference.set_goal(Goal(rgb=goal))
        expected = reference.encode(image).by_name["tokens"].numpy()
        np.testing.assert_allclose(unpack_outputs(message)["tokens"], expected, rtol=0, atol=2e-3)
        assert (message.tokens_per_image, message.grid_height, message.grid_width) == (64, 8, 8)
        assert list(message.shape) == [128, 1152]
        assert "pool" in message.stage_names
        same = {"preset": "small", "seed": 5, "allow_random": True}
        assert Port(expect("", pool="8x8", **same)).read(message).shape == (1, 128, 1152)
        with pytest.raises(WrongOutputsError):
            Port(expect("", **same)).read(message)

        refused = setup.control.set("output.pool", "4x4")
        assert "parameter output.pool takes effect at configure" in refused.reason
        assert setup.control.change_state(DEACTIVATE)
        setup.wait_for_closed_topics()
        assert setup.control.change_state(CLEANUP)
        assert "found '8'; expected none, ROWSxCOLUMNS such as 8x8" in setup.control.set("output.pool", "8").reason
        for pool, reason in (
            ("17x8", "found pooling 17x8 of 16x16 patches"),
            ("class", "preset small: found output tokens of class tokens"),
        ):
            assert setup.control.set("output.pool", pool).successful
            assert not setup.control.change_state(CONFIGURE)
            reports = setup.probe.reports["node"]
            setup.wait_for(lambda r=reason, all_=reports: r in all_[-1].message, reason)
        assert setup.control.set("output.pool", "shuffle:4").successful
        assert setup.control.change_state(CONFIGURE)
        assert setup.control.change_state(ACTIVATE)
        setup.wait_for_topics()
        shuffled = encode_one(setup.probe, frame(image, 2))
        assert list(shuffled.shape) == [32, 16 * 1152]
        assert list(shuffled.outputs[0].segment_names) == 16 * ["dinov2", "siglip"]
    assert "Traceback" not in (tmp_path / "log").read_text()
