"""Topics by other names, as image_transport understands them."""

from __future__ import annotations

from pathlib import Path

import pytest

from test.ros.conftest import running


@pytest.mark.parametrize(
    ("rules", "camera", "goal"),
    [
        ((), "/robot/image_raw/compressed", "/robot/goal_image/compressed"),
        (("image_raw:=/front/image", "goal_image:=there"), "/front/image/compressed", "/robot/there/compressed"),
        (("image_raw/compressed:=/jpeg", "goal_image/compressed:=png"), "/jpeg", "/robot/png"),
        (("image_raw:=/front/image", "image_raw/compressed:=/jpeg"), "/jpeg", "/robot/goal_image/compressed"),
    ],
)
def test_compressed_topics(tmp_path: Path, rules: tuple[str, ...], camera: str, goal: str) -> None:
    with running(
        tmp_path / "log",
        connect=False,
        encode_ms=0,
        remappings=rules,
        camera_transport="compressed",
        goal_transport="compressed",
    ) as setup:
        setup.wait_for_state("active")
        for topic in (camera, goal):
            setup.wait_for(lambda topic=topic: setup.probe.node.count_subscribers(topic) > 0, topic)


def test_compressed_topics_of_several_cameras(tmp_path: Path) -> None:
    pytest.importorskip("message_filters")
    rules = ("left/image_raw:=/stereo/left", "right/image_raw/compressed:=/stereo/right/jpeg")
    with running(
        tmp_path / "log",
        connect=False,
        encode_ms=0,
        remappings=rules,
        camera_transport="compressed",
        cameras=["left", "right"],
    ) as setup:
        setup.wait_for_state("active")
        for topic in ("/stereo/left/compressed", "/stereo/right/jpeg"):
            setup.wait_for(lambda topic=topic: setup.probe.node.count_subscribers(topic) > 0, topic)
