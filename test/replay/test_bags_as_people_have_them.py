"""Bags with something odd about them: each is played as well as it can be, or refused with a sentence that helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omnivla_vision.replay.bag import BagUnreadableError, TopicMissingError, TopicTypeError

pytest.importorskip("torch")

from omnivla_vision.replay.result import Replay
from omnivla_vision.replay.selection import AmbiguousTopicError, EmptyTopicError, NoImageTopicError
from test.replay import bags

Play = Callable[..., Replay]


def plain(tmp_path: Path, replay: Play, *, goal: bool = True) -> Replay:
    return replay(bags.write(tmp_path / "plain", bags.drive(6, goal=goal)))


def test_sqlite3_gives_the_same_tokens_as_mcap(tmp_path: Path, replay: Play) -> None:
    other = replay(bags.write(tmp_path / "bag", bags.drive(6), storage=bags.SQLITE3))
    assert other.measurements.sha256 == plain(tmp_path, replay).measurements.sha256
    file = replay(next((tmp_path / "bag").glob("*.db3")))
    assert file.measurements.sha256 == other.measurements.sha256


def test_a_latched_goal_that_is_missing_is_a_note(tmp_path: Path, replay: Play) -> None:
    messages = bags.drive(4, goal=False)
    for path in (
        bags.write(tmp_path / "none", messages),
        bags.write(tmp_path / "empty", messages, empty=(bags.GOAL,)),
    ):
        result = replay(path)
        assert result.selection.goal is None
        assert "--goal-image FILE or --goal-at SECONDS" in result.all_notes()[0]
        assert not any(row.goal_cosines for row in result.rows)
    with pytest.raises(EmptyTopicError, match=r"/goal_image.*latched.*--goal-at"):
        replay(tmp_path / "empty", goal_topic=bags.GOAL)


def test_two_cameras_are_listed(tmp_path: Path, replay: Play) -> None:
    messages = [*bags.drive(3), bags.raw(bags.picture(9), 0.25, topic="/rear/image_raw")]
    path = bags.write(tmp_path / "bag", messages)
    with pytest.raises(
        AmbiguousTopicError,
        match=r"/camera/image_raw \(.*3 messages\), /rear/image_raw \(.*1 messages\).*--image-topic",
    ):
        replay(path)
    assert replay(path, image_topic="/rear/image_raw").counts.received == 1


def test_two_goals_are_listed(tmp_path: Path, replay: Play) -> None:
    path = bags.write(tmp_path / "bag", [*bags.drive(3), bags.raw(bags.picture(9), 0.25, topic="/other/goal")])
    with pytest.raises(AmbiguousTopicError, match=r"/goal_image.*/other/goal.*--goal-topic"):
        replay(path)


def test_a_second_camera_without_messages_does_not_matter(tmp_path: Path, replay: Play) -> None:
    assert replay(bags.write(tmp_path / "bag", bags.drive(3), empty=("/rear/image_raw",))).counts.received == 3


def test_one_camera_raw_and_compressed_is_one_camera(tmp_path: Path, replay: Play) -> None:
    messages = bags.drive(4, goal=False)
    messages += [bags.compressed(bags.picture(index), index / 10) for index in range(4)]
    result = replay(bags.write(tmp_path / "bag", messages))
    assert result.selection.camera.name == bags.CAMERA
    assert result.counts.received == 4
    assert "/camera/image_raw was played; the bag also has /camera/image_raw/compressed" in result.all_notes()[0]


def test_compressed_images_give_the_tokens_of_raw_ones(tmp_path: Path, replay: Play) -> None:
    messages = [bags.compressed(bags.picture(index), index / 10) for index in range(6)]
    result = replay(bags.write(tmp_path / "bag", messages))
    assert result.measurements.sha256 == plain(tmp_path, replay, goal=False).measurements.sha256


def test_padded_rows_give_the_tokens_of_dense_ones(tmp_path: Path, replay: Play) -> None:
    messages = [bags.raw(bags.picture(index), index / 10, pad=13) for index in range(6)]
    result = replay(bags.write(tmp_path / "bag", messages))
    assert result.measurements.sha256 == plain(tmp_path, replay, goal=False).measurements.sha256


def test_a_gap_is_a_note(tmp_path: Path, replay: Play) -> None:
    messages = [bags.raw(bags.picture(index), index / 10 + 30 * (index > 3)) for index in range(8)]
    result = replay(bags.write(tmp_path / "bag", messages), goal_elsewhere=True)
    assert result.counts.published == 8
    assert result.all_notes() == ["The camera paused for 30.1 s, 0.3 s after its first frame."]
    assert result.clock.rate_hz == pytest.approx(10)


def test_stamps_out_of_order_are_a_note(tmp_path: Path, replay: Play) -> None:
    stamps = [0.0, 0.2, 0.1, 0.3, 0.5, 0.4]
    messages = [bags.raw(bags.picture(i), i / 10, stamp_s=stamp) for i, stamp in enumerate(stamps)]
    result = replay(bags.write(tmp_path / "bag", messages), goal_elsewhere=True)
    assert [(row.stamp_ns - bags.START_NS) / 1e9 for row in result.rows] == stamps, "as recorded"
    assert "2 camera stamps are a little earlier" in result.all_notes()[0]


def test_a_clock_that_starts_again_is_a_note(tmp_path: Path, replay: Play) -> None:
    messages = [bags.raw(bags.picture(i), i / 10, stamp_s=60 + i / 10 - 60 * (i > 4)) for i in range(10)]
    result = replay(bags.write(tmp_path / "bag", messages), goal_elsewhere=True)
    assert result.counts.published == 10
    assert "starts again 1 times, first 0.5 s after its first frame" in result.all_notes()[0]


def test_no_messages_on_the_topic(tmp_path: Path, replay: Play) -> None:
    path = bags.write(tmp_path / "bag", [bags.unheard(0)], empty=(bags.CAMERA,))
    for options in ({}, {"image_topic": bags.CAMERA}):
        with pytest.raises(EmptyTopicError, match=r"no message on topic /camera/image_raw.*/secrets"):
            replay(path, **options)


def test_no_topic_of_images(tmp_path: Path, replay: Play) -> None:
    path = bags.write(tmp_path / "bag", [bags.unheard(0)])
    with pytest.raises(NoImageTopicError, match="/secrets"):
        replay(path)
    with pytest.raises(TopicTypeError, match="acme_msgs/msg/Unheard"):
        replay(path, image_topic="/secrets")
    with pytest.raises(TopicMissingError, match="/secrets"):
        replay(path, image_topic="/nothing")


def test_an_unknown_type_beside_ours_does_not_matter(tmp_path: Path, replay: Play) -> None:
    messages = [bags.unheard(0.01), *bags.drive(6), bags.unheard(0.3)]
    result = replay(bags.write(tmp_path / "bag", sorted(messages, key=lambda message: message.at_s)))
    assert result.measurements.sha256 == plain(tmp_path, replay).measurements.sha256


@pytest.mark.parametrize("share", [0.3, 0.97])
def test_a_truncated_mcap_says_how_to_repair_it(tmp_path: Path, replay: Play, share: float) -> None:
    file = bags.write(tmp_path / "bag", bags.drive(6)) / "bag.mcap"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    for path in (file, file.parent):
        with pytest.raises(BagUnreadableError, match="cut off, `mcap recover`"):
            replay(path)


def test_a_broken_frame_is_rejected_and_the_others_go_on(tmp_path: Path, replay: Play) -> None:
    messages = bags.drive(6, goal=False)
    short = messages[2].data
    messages[2] = bags.Message(bags.CAMERA, bags.IMAGE, 0.2, short[: len(short) // 2])
    messages[4] = bags.Message(bags.CAMERA, bags.IMAGE, 0.4, b"\0\1\0\0")
    result = replay(bags.write(tmp_path / "bag", messages), goal_elsewhere=True)
    assert (result.counts.received, result.counts.published, result.counts.rejected) == (6, 4, 2)
    assert [row.index for row in result.rows] == [0, 1, 3, 5]
    assert "Frame 2 was rejected" in result.all_notes()[0]
    assert "Frame 4 was rejected" in result.all_notes()[1]


def test_a_broken_goal_leaves_the_one_before(tmp_path: Path, replay: Play) -> None:
    messages = bags.drive(6)
    messages.append(bags.Message(bags.GOAL, bags.IMAGE, 0.25, b"\0\1\0\0"))
    result = replay(bags.write(tmp_path / "bag", sorted(messages, key=lambda message: message.at_s)))
    assert len(result.goals) == 1
    assert result.rows[-1].goal_cosines
    assert "goal image was refused, the previous goal stays" in result.all_notes()[0]
