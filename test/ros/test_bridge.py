"""cv_bridge itself, for encodings that this package leaves to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import Image

from omnivla_vision.images.raw import UndecodableImageError
from omnivla_vision.ros.bridge import BridgedImage, available
from omnivla_vision.ros.messages import image_source
from test.ros.conftest import encode_one, frame, running

pytest.importorskip("cv_bridge")
PIXELS = np.random.default_rng(2).integers(0, 256, (4, 6, 3), np.uint8)


def test_it_agrees_with_us_where_both_know_an_encoding() -> None:
    assert available()
    for encoding in ("rgb8", "bgr8"):
        message = Image(height=4, width=6, encoding=encoding, step=18, data=PIXELS.tobytes())
        ours = image_source(message, max_pixels=100).rgb()
        assert np.array_equal(BridgedImage(message, max_pixels=100).rgb(), ours)


@pytest.mark.parametrize("encoding", ["32SC2", "8SC3", "no such thing"])
def test_what_it_refuses_is_refused(encoding: str) -> None:
    message = Image(height=4, width=6, encoding=encoding, step=48, data=bytes(4 * 48))
    with pytest.raises(UndecodableImageError, match=f"encoding {encoding!r}"):
        BridgedImage(message, max_pixels=100).rgb()


def test_the_node_asks_it_and_survives_its_answer(tmp_path: Path) -> None:
    with running(tmp_path / "log", encode_ms=0) as setup:
        setup.probe.camera.publish(Image(height=4, width=6, encoding="hsv8", step=48, data=bytes(4 * 48)))
        setup.wait_for(lambda: setup.counts().get("rejected") == 1, "the refusal")
        assert "cv_bridge does not convert encoding 'hsv8'" in setup.probe.reports["camera"][-1].message
        assert encode_one(setup.probe, frame(PIXELS)).goal_valid is False
