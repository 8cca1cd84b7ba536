"""Compressed messages as drivers write them, at the real node."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from omnivla_vision.ros.messages import bytes_field, ns_to_stamp
from test.ros.conftest import STAMP_NS, encode_one, running

RGB = np.random.default_rng(4).integers(0, 256, (48, 64, 3), np.uint8)
DEPTH = (np.arange(48 * 64, dtype=np.uint16) + 500).reshape(48, 64)
REFUSED = [
    ("16UC1; png compressed ", cv2.imencode(".png", DEPTH)[1].tobytes(), "image format {!r}: distances, not colours"),
    ("16UC1; jpeg", cv2.imencode(".jpg", RGB)[1].tobytes(), "image format {!r}: distances, not colours"),
    ("32FC1; png compressed ", cv2.imencode(".png", RGB)[1].tobytes(), "image format {!r}: distances, not colours"),
    ("png", cv2.imencode(".png", DEPTH)[1].tobytes(), "one channel of 16 bits"),
    ("h264", b"\0\0\0\1\x67", "found H.264 video"),
    ("jpeg", cv2.imencode(".jpg", RGB)[1].tobytes()[:-200] + bytes(5000), "cut off"),
]


def message(image_format: str, data: bytes, number: int) -> CompressedImage:
    message = CompressedImage(format=image_format, data=bytes_field(np.frombuffer(data, np.uint8)))
    message.header.stamp = ns_to_stamp(STAMP_NS + number)
    return message


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_depth_and_video_are_refused_and_tails_are_cut(tmp_path: Path, suffix: str) -> None:
    with running(tmp_path / "log", camera_transport="compressed", goal_transport="compressed", encode_ms=1) as setup:
        for number, (image_format, data, pattern) in enumerate(REFUSED, start=1):
            sentence = pattern.format(image_format)
            for publisher in (setup.probe.camera, setup.probe.goal):
                publisher.publish(message(image_format, data, number))
            for status in ("camera", "goal"):
                setup.wait_for(
                    lambda name=status, part=sentence: part in setup.probe.reports[name][-1].message,
                    f"the refusal of {image_format!r} by the {status}",
                )
        whole = cv2.imencode(suffix, RGB)[1].tobytes()
        for number, tail in enumerate((b"", b"\r\n", bytes(9000), b"\xff" * 9000, whole[: len(whole) // 2]), start=100):
            encode_one(setup.probe, message("", whole + tail, number))
        assert setup.counts()["failed"] == 0
