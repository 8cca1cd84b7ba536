"""Moving along a sequence: by request, by itself, and who goes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

from torch import Tensor

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal_sequence.advance import Advance, AdvanceRule
from omnivla_vision.goal_sequence.errors import GoalIndexError
from omnivla_vision.goal_sequence.follower import Follower, Position
from omnivla_vision.goal_sequence.prepare import complete, prepare
from omnivla_vision.goal_sequence.sequence import GoalSequence
from omnivla_vision.goal_sequence.store import SequenceStore
from omnivla_vision.images.raw import RawImage
from omnivla_vision.live.frames import Callbacks, GoalImage, OfferedGoal
from omnivla_vision.live.worker import EncodeWorker

RULE = AdvanceRule(threshold=0.6, frames=3, hysteresis=0.2)


def advances(similarities: list[float], rule: AdvanceRule = RULE) -> list[int]:
    """After which frames it moved on."""
    advance = Advance()
    return [index for index, similarity in enumerate(similarities) if advance.frame(similarity, rule)]


@pytest.mark.parametrize(
    ("similarities", "expected"),
    [
        ([0.6, 0.6, 0.6], [2]),
        ([0.6, 0.59, 0.6, 0.6], []),  # in a row
        ([0.9] * 20, [2]),  # goals that look alike are not all passed on one spot
        ([0.9, 0.9, 0.9, 0.45, 0.9, 0.9, 0.9], [2]),  # not far enough below
        ([0.9, 0.9, 0.9, 0.39, 0.9, 0.9, 0.9], [2, 6]),
        ([], []),
    ],
)
def test_the_rule(similarities: list[float], expected: list[int]) -> None:
    assert advances(similarities) == expected


def test_whoever_moves_by_hand_begins_anew() -> None:
    advance = Advance()
    assert [advance.frame(0.9, RULE) for _ in range(3)] == [False, False, True]
    advance.restart()
    assert [advance.frame(0.9, RULE) for _ in range(3)] == [False, False, True]


@pytest.fixture
def sequence(route: Path, encoder: VisionEncoder, tmp_path: Path) -> GoalSequence:
    return complete(prepare(route, encoder, SequenceStore(str(tmp_path / "s")), spacing_s=2.0, announce=print))


class Drive:
    """A follower around a worker without a thread: what is offered is taken at once, unless it is held back."""

    def __init__(self, encoder: VisionEncoder, sequence: GoalSequence) -> None:
        self.encoder, self.held = encoder, False
        encoder.use_goal(None)
        callbacks: Callbacks[Any] = Callbacks(
            publish=lambda result: None, report=self.fail, goal_taken=lambda offered: self.follower.taken(offered)
        )
        self.worker: EncodeWorker[Any] = EncodeWorker(encoder, callbacks)
        self.follower = Follower(encoder, self.offer)
        self.follower.follow(sequence)

    def fail(self, source: str, sentence: str) -> None:
        raise AssertionError(sentence)

    def offer(self, goal: OfferedGoal | None, *, yields: bool = False) -> bool:
        return not (self.held and yields) and self.worker.offer_goal(goal, yields=yields)

    def see(self, picture: NDArray[np.uint8], rule: AdvanceRule | None = RULE) -> Position:
        patches: Tensor = self.encoder.encode(picture).fused[:256]
        return self.follower.look(patches, around=1, rule=rule)


@pytest.fixture
def drive(encoder: VisionEncoder, sequence: GoalSequence) -> Drive:
    return Drive(encoder, sequence)


def test_a_window_around_the_node_in_force(drive: Drive, pictures: list[NDArray[np.uint8]]) -> None:
    position = drive.see(pictures[1], None)
    assert (position.index, position.name, position.source, position.number) == (0, "2.png", "sequence", 4)
    assert position.window == (0, 1)
    assert position.similarities[1] == pytest.approx(1.0, abs=1e-4)
    assert position.similarities[0] < 0.5
    drive.follower.move(drive.follower.checked(-1))
    position = drive.see(pictures[1], None)
    assert (position.index, position.window) == (3, (2, 3))


def test_moving_by_itself_stops_at_the_last(drive: Drive, pictures: list[NDArray[np.uint8]]) -> None:
    indices = [drive.see(picture).index for picture in pictures for _ in range(4)]
    assert indices == [0] * 7 + [1] * 4 + [2] * 4 + [3]
    assert drive.follower.position().advanced
    assert [drive.see(pictures[3]).index for _ in range(5)] == [3] * 5


def test_nothing_moves_where_the_rule_is_off(drive: Drive, pictures: list[NDArray[np.uint8]]) -> None:
    assert {drive.see(pictures[1], None).index for _ in range(6)} == {0}


def test_a_goal_that_waits_goes_first(drive: Drive, pictures: list[NDArray[np.uint8]]) -> None:
    drive.held = True
    assert [drive.see(pictures[1]).index for _ in range(4)] == [0] * 4
    assert drive.follower.beside(1) == 1  # nor does the next move skip a node


def test_another_goal_suspends_the_sequence(drive: Drive, pictures: list[NDArray[np.uint8]]) -> None:
    rgb = pictures[3]
    raw = RawImage(data=rgb.tobytes(), height=40, width=60, encoding="rgb8", step=180)
    drive.worker.offer_goal(GoalImage(image=raw, stamp_ns=5))
    assert [drive.see(pictures[1]).index for _ in range(5)] == [0] * 5
    assert drive.follower.position().source == "goal_image"
    drive.worker.offer_goal(None)
    assert drive.follower.position().source == "none"
    assert drive.follower.move(drive.follower.beside(1)) == "9.png"
    assert drive.follower.position().source == "sequence"


def test_there_is_nothing_beyond_the_ends(drive: Drive) -> None:
    with pytest.raises(GoalIndexError, match="node 0, the first of"):
        drive.follower.beside(-1)
    with pytest.raises(GoalIndexError, match=r"found goal index 4; expected 0 to 3, or -1 for the last"):
        drive.follower.checked(4)
    with pytest.raises(GoalIndexError, match="found goal index -2"):
        drive.follower.checked(-2)


def test_an_end_of_following_clears_the_goal(drive: Drive, pictures: list[NDArray[np.uint8]]) -> None:
    assert drive.encoder.encode(pictures[0]).goal is not None
    drive.follower.follow(None)
    assert drive.encoder.encode(pictures[0]).goal is None
    assert drive.follower.position() == Position()
