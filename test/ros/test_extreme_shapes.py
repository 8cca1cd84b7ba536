"""Long and narrow pictures, within `max_image_pixels`, at the real node."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from omnivla_vision.images.raw import MAX_RATIO
from omnivla_vision.ros.messages import bytes_field, ns_to_stamp
from test.ros.conftest import STAMP_NS, encode_one, frame, running

# A node without its network takes some 300 MB; resizing 1x1,000,000 pixels took 0.8 GB more.
MAX_GROWTH_KB = 400_000


def peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def picture(rgb: NDArray[np.uint8], transport: str) -> Image | CompressedImage:
    if transport == "raw":
        return frame(rgb)
    message = CompressedImage(format="png", data=bytes_field(cv2.imencode(".png", rgb)[1].reshape(-1)))
    message.header.stamp = ns_to_stamp(STAMP_NS)
    return message


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_a_long_narrow_picture_is_refused_and_the_next_one_encoded(tmp_path: Path, transport: str) -> None:
    with running(tmp_path / "log", camera_transport=transport, goal_transport=transport, encode_ms=1) as setup:
        good = picture(np.zeros((48, 64, 3), np.uint8), transport)
        encode_one(setup.probe, good)
        before = peak_kb(setup.node.pid)
        for height, width in ((1_000_000, 1), (1, 1_000_000), (MAX_RATIO + 1, 1)):
            rejected, problem = setup.counts()["rejected"], f"{width}x{height} pixels; expected sides of at most"
            narrow = picture(np.zeros((height, width, 3), np.uint8), transport)
            setup.probe.camera.publish(narrow)
            setup.probe.goal.publish(narrow)
            setup.wait_for(lambda n=rejected: setup.counts()["rejected"] == n + 1, "its refusal")
            setup.wait_for(lambda text=problem: text in setup.probe.reports["goal"][-1].message, "and as a goal")
        for number, (height, width) in enumerate(((MAX_RATIO, 1), (128, 16_384), (16_384, 128)), start=1):
            accepted = picture(np.zeros((height, width, 3), np.uint8), transport)
            accepted.header.stamp = ns_to_stamp(STAMP_NS + number)
            encode_one(setup.probe, accepted)
        assert peak_kb(setup.node.pid) - before < MAX_GROWTH_KB
