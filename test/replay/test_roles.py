"""Which topic is the camera and which the goal, where nobody says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from omnivla_vision.replay.result import Replay
from omnivla_vision.replay.selection import AmbiguousTopicError, NoImageTopicError
from test.replay import bags

Play = Callable[..., Replay]
SIMILARITY, PCA = "/robot/vision_node/debug/goal_similarity", "/robot/vision_node/debug/pca"
DEPTH = "/camera/depth/image_rect_raw"


@pytest.mark.parametrize("topic", ["/goal", "/goal_image", "/robot/goal_image", "/Robot/Goal", "/goalie/goal_image"])
@pytest.mark.parametrize("transport", ["", "/compressed"])
def test_a_goal_is_told_by_its_whole_last_name(tmp_path: Path, replay: Play, topic: str, transport: str) -> None:
    goal = bags.compressed if transport else bags.raw
    messages = [*bags.drive(3, goal=False), goal(bags.picture(9), 0.05, topic=topic + transport)]
    result = replay(bags.write(tmp_path / "bag", messages))
    assert result.selection.goal is not None
    assert result.selection.goal.name == topic + transport
    assert result.selection.camera.name == bags.CAMERA
    assert str(result.selection) == f"camera {bags.CAMERA}, goal {topic}{transport}"


@pytest.mark.parametrize(
    "topic", ["/goalie/camera/image_raw", "/goal/camera", "/goal_cam/image_raw", "/goals", "/goalkeeper", "/my_goal"]
)
@pytest.mark.parametrize("transport", ["", "/compressed"])
def test_a_camera_whose_name_only_begins_like_it(tmp_path: Path, replay: Play, topic: str, transport: str) -> None:
    image = bags.compressed if transport else bags.raw
    messages = [image(bags.picture(index), index / 10, topic=topic + transport) for index in range(3)]
    result = replay(bags.write(tmp_path / "bag", messages))
    assert result.selection.camera.name == topic + transport
    assert result.selection.goal is None
    assert result.counts.published == 3


@pytest.mark.parametrize("name", [SIMILARITY, PCA, "/v/debug/goal_similarity", "/v/debug/pca"])
@pytest.mark.parametrize("transport", ["", "/compressed"])
def test_our_own_pictures_are_neither_camera_nor_goal(tmp_path: Path, replay: Play, name: str, transport: str) -> None:
    picture = (bags.compressed if transport else bags.raw)(bags.picture(7), 0.15, topic=name + transport)
    for goal in (True, False):
        result = replay(bags.write(tmp_path / f"{goal}", [*bags.drive(4, goal=goal), picture]))
        assert result.selection.camera.name == bags.CAMERA
        assert (result.selection.goal is not None) == goal
        if result.selection.goal is not None:
            assert result.selection.goal.name == bags.GOAL
        assert any(f"{name}{transport}" in note and "a vision node drew it" in note for note in result.all_notes())
    with pytest.raises(NoImageTopicError):
        replay(bags.write(tmp_path / "alone", [picture]))


def test_our_own_picture_can_still_be_asked_for(tmp_path: Path, replay: Play) -> None:
    messages = [*bags.drive(4), bags.raw(bags.picture(7), 0.15, topic=PCA)]
    assert replay(bags.write(tmp_path / "bag", messages), image_topic=PCA).counts.received == 1


@pytest.mark.parametrize(
    ("suffix", "image_format"),
    [("", ""), ("/compressed", "16UC1; png compressed "), ("/compressedDepth", "16UC1; compressedDepth png")],
)
def test_of_colour_and_depth_the_colours_are_played(
    tmp_path: Path, replay: Play, suffix: str, image_format: str
) -> None:
    depth = [bags.depth(index / 10, topic=DEPTH + suffix, image_format=image_format) for index in range(3)]
    result = replay(bags.write(tmp_path / "bag", [*bags.drive(3), *depth]))
    assert result.selection.camera.name == bags.CAMERA
    assert result.counts.published == 3
    assert any(f"{DEPTH}{suffix} (" in note and "holds distances" in note for note in result.all_notes())


@pytest.mark.parametrize("image_format", ["", "16UC1; png compressed ", "16UC1; compressedDepth png", "png"])
def test_depth_alone_is_refused_frame_by_frame(tmp_path: Path, replay: Play, image_format: str) -> None:
    messages = [bags.depth(index / 10, topic="/depth", image_format=image_format) for index in range(2)]
    result = replay(bags.write(tmp_path / "bag", messages))
    assert (result.counts.received, result.counts.rejected, result.counts.published) == (2, 2, 0)
    assert any("connect the colour camera" in note for note in result.all_notes())


def test_two_colour_cameras_beside_a_depth_camera_are_still_listed(tmp_path: Path, replay: Play) -> None:
    messages = [*bags.drive(3), bags.raw(bags.picture(9), 0.2, topic="/rear"), bags.depth(0.1, topic=DEPTH)]
    with pytest.raises(AmbiguousTopicError) as refusal:
        replay(bags.write(tmp_path / "bag", messages))
    assert "/rear" in str(refusal.value)
    assert DEPTH not in str(refusal.value)


def test_bytes_behind_the_end_do_not_matter(tmp_path: Path, replay: Play) -> None:
    frames = [bags.compressed(bags.picture(index), index / 10, tail=b"\r\n" + bytes(999)) for index in range(3)]
    assert replay(bags.write(tmp_path / "bag", frames)).counts.published == 3
