"""Mode exact: every frame once, in order, against the right goal."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.network.outputs import Output, get_pooling
from omnivla_vision.network.views import Mask, Views
from omnivla_vision.replay.bag import Bag, Topic
from omnivla_vision.replay.decoding import decode
from omnivla_vision.replay.exact import ExactReplay, FixedGoal
from omnivla_vision.replay.measure import EncodedFrame, segments
from omnivla_vision.replay.prefetch import Prefetch
from omnivla_vision.replay.result import Replay
from omnivla_vision.replay.selection import EmptyWindowError, select
from omnivla_vision.replay.steps import frame_at
from test.encoders import random_encoder
from test.replay import bags
from test.replay.conftest import TINY

Play = Callable[..., Replay]


class Keep:
    """A sink that keeps the tokens."""

    def __init__(self) -> None:
        self.tokens: list[NDArray[np.float32]] = []

    def add(self, frame: EncodedFrame) -> None:
        rows = [frame.current] if frame.goal is None else [frame.current, frame.goal]
        self.tokens.append(np.concatenate(rows))


def test_every_frame_once_in_order_with_the_encoders_own_tokens(tmp_path: Path, encoder: VisionEncoder) -> None:
    path = bags.write(tmp_path / "bag", bags.drive(12))
    with Bag(path) as bag:
        selection = select(bag)
    keep = Keep()
    replay = ExactReplay(path, selection, encoder, sinks=[keep]).run({})
    assert [row.index for row in replay.rows] == list(range(12))
    assert all(a.stamp_ns < b.stamp_ns for a, b in pairwise(replay.rows))
    assert (replay.counts.received, replay.counts.published, replay.counts.rejected) == (12, 12, 0)
    assert [goal.frame for goal in replay.goals] == [1], "the goal was recorded between frames 0 and 1"
    assert not replay.rows[0].goal_cosines
    assert replay.rows[-1].goal_cosines == pytest.approx({"dinov2": 1, "siglip": 1}, abs=1e-6)
    encoder.set_goal(None)
    assert np.array_equal(keep.tokens[0], encoder.encode(bags.picture(0)).tokens[:16])
    encoder.set_goal(Goal(rgb=bags.picture(11)))
    for index in range(1, 12):
        assert torch.equal(torch.from_numpy(keep.tokens[index]), encoder.encode(bags.picture(index)).tokens)


def test_pooled_tokens_are_measured_by_their_patches(tmp_path: Path, encoder: VisionEncoder) -> None:
    path = bags.write(tmp_path / "bag", bags.drive(3))
    with Bag(path) as bag:
        selection = select(bag)
    pooled = random_encoder(replace(TINY, outputs=(Output("tokens", get_pooling("2x2")), Output("all"))), seed=1)
    whole, same = (ExactReplay(path, selection, one).run({}).measurements for one in (encoder, pooled))
    assert whole.sha256 == same.sha256
    assert [row.goal_cosines for row in whole.rows] == [row.goal_cosines for row in same.rows]
    assert [picture.grid for picture in same.pictures.kept.values()] == 3 * [(4, 4)]


def test_columns_of_one_encoder_that_come_again_have_a_number() -> None:
    found = segments(["dinov2", "siglip", "dinov2", "siglip"], [2, 3, 2, 3])
    assert [(segment.name, segment.columns.stop) for segment in found] == [
        ("dinov2", 2),
        ("siglip", 5),
        ("dinov2 2", 7),
        ("siglip 2", 10),
    ]


def test_the_digest_tells_two_recordings_apart_and_nothing_else(tmp_path: Path, replay: Play) -> None:
    same, again = bags.write(tmp_path / "a", bags.drive(5)), bags.write(tmp_path / "b", bags.drive(5))
    changed = bags.drive(5)
    changed[3] = bags.raw(bags.picture(99), 0.2)
    digests = [replay(path).measurements.sha256 for path in (same, again, bags.write(tmp_path / "c", changed))]
    assert digests[0] == digests[1] != digests[2]


def test_start_and_duration_play_a_stretch_with_the_goal_from_before_it(tmp_path: Path, replay: Play) -> None:
    path = bags.write(tmp_path / "bag", bags.drive(20))
    result = replay(path, start_s=0.95, duration_s=0.5)
    assert [row.time_ns - bags.START_NS for row in result.rows] == [round(k * 1e8) for k in range(10, 15)]
    assert [goal.frame for goal in result.goals] == [0]
    assert all(row.goal_cosines for row in result.rows)


@pytest.mark.parametrize(("start", "match"), [(5.0, "bag of 1.9 s"), (1.85, "found no image")])
def test_a_stretch_without_frames_is_refused(tmp_path: Path, replay: Play, start: float, match: str) -> None:
    path = bags.write(tmp_path / "bag", bags.drive(20))
    with pytest.raises(EmptyWindowError, match=match):
        replay(path, start_s=start, duration_s=0.01)


def test_a_goal_from_a_file_or_from_a_moment_holds_from_the_first_frame(tmp_path: Path, encoder: VisionEncoder) -> None:
    path = bags.write(tmp_path / "bag", bags.drive(6, goal=False))
    with Bag(path) as bag:
        selection = select(bag, goal_elsewhere=True)
    moment = frame_at(path, Topic(bags.CAMERA, bags.IMAGE, 0), bags.START_NS + 350_000_000)
    assert np.array_equal(moment.rgb, bags.picture(4)), "the first frame at or after 0.35 s"
    fixed = FixedGoal(goal=Goal(rgb=moment.rgb), source="a moment")
    result = ExactReplay(path, selection, encoder, fixed_goal=fixed).run({})
    assert [goal.source for goal in result.goals] == ["a moment"]
    assert result.rows[4].goal_cosines["dinov2"] == pytest.approx(1, abs=1e-6)
    assert result.rows[0].goal_cosines["dinov2"] < 0.99
    assert not result.selection.notes
    with pytest.raises(EmptyWindowError, match="at or after 9"):
        frame_at(path, Topic(bags.CAMERA, bags.IMAGE, 0), bags.START_NS + 9_000_000_000)


def test_a_changed_goal_counts_from_its_own_moment(tmp_path: Path, replay: Play) -> None:
    messages = bags.drive(6)
    messages.append(bags.raw(bags.picture(2), 0.35, topic=bags.GOAL))
    result = replay(bags.write(tmp_path / "bag", sorted(messages, key=lambda message: message.at_s)))
    assert [goal.frame for goal in result.goals] == [1, 4]
    assert result.rows[3].goal_id != result.rows[4].goal_id


def test_frames_are_read_ahead_but_not_without_end() -> None:
    made = []

    def numbers():  # type: ignore[no-untyped-def]
        for number in range(1000):
            made.append(number)
            yield number

    with Prefetch(numbers, depth=3) as items:
        stream = iter(items)
        assert [next(stream) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert len(made) <= 5 + 3 + 2
    assert len(made) < 1000


def test_the_readers_error_arrives_after_the_items_before_it() -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield 1
        raise KeyError("mine")

    with Prefetch(broken) as items:
        stream = iter(items)
        assert next(stream) == 1
        with pytest.raises(KeyError, match="mine"):
            next(stream)


def test_a_frame_decodes_to_what_was_recorded(tmp_path: Path) -> None:
    path = bags.write(tmp_path / "bag", [bags.raw(bags.picture(3), 0.0)])
    with Bag(path) as bag:
        (record,) = bag.records([bags.CAMERA])
    assert np.array_equal(decode(record).rgb, bags.picture(3))


def test_images_of_another_size_than_their_mask_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    hidden = np.zeros((48, 64), bool)
    hidden[40:] = True
    encoder = random_encoder(replace(TINY, views=Views(masks=(("", Mask(hidden=hidden)),))), seed=1)
    messages = bags.drive(5)
    messages[3] = bags.raw(bags.picture(3, height=50), 0.2)
    messages.append(bags.raw(bags.picture(9, height=50), 0.35, topic=bags.GOAL))
    path = bags.write(tmp_path / "bag", messages)
    with Bag(path) as bag:
        selection = select(bag)
    result = ExactReplay(path, selection, encoder).run({})
    assert (result.counts.received, result.counts.published, result.counts.rejected) == (5, 4, 1)
    assert len(result.goals) == 1
    notes = "\n".join(result.all_notes())
    assert "Frame 2 was rejected: found an image of 64x50 pixels; expected 64x48, as its mask has" in notes
    assert "A goal image was refused, the previous goal stays: found an image of 64x50 pixels" in notes


@pytest.mark.parametrize("stamp", [(-1, 0), (5, 10**9), (2**31 - 1, 2**32 - 1)])
def test_stamps_that_the_node_refuses_are_refused(
    tmp_path: Path, encoder: VisionEncoder, stamp: tuple[int, int]
) -> None:
    messages = bags.drive(3, goal=False)
    data = bytearray(messages[1].data)
    struct.pack_into("<iI", data, 4, *stamp)
    messages[1] = replace(messages[1], data=bytes(data))
    path = bags.write(tmp_path / "bag", messages)
    with Bag(path) as bag:
        selection = select(bag)
    result = ExactReplay(path, selection, encoder).run({})
    assert (result.counts.received, result.counts.published, result.counts.rejected) == (3, 2, 1)
    assert any(f"found a header stamped {stamp[0]} s + {stamp[1]} ns" in note for note in result.all_notes())
