"""Goals are later frames of the same episode and camera, each of those that may be chosen equally often."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("lance")

from omnivla_vision.dataset.errors import HindsightError
from omnivla_vision.dataset.training.frame_index import FrameIndex
from omnivla_vision.dataset.training.hindsight import NONE, Hindsight, draws_of


def index(*tracks: list[float]) -> FrameIndex:
    """Of tracks, by their stamps in seconds."""
    starts = np.cumsum([0, *map(len, tracks)])
    return FrameIndex(
        rows=np.arange(starts[-1]),
        stamps_ns=np.array([round(stamp * 1e9) for track in tracks for stamp in track], np.int64),
        starts=starts,
        episodes=np.arange(len(tracks), dtype=np.int32),
        cameras=("/camera",) * len(tracks),
    )


def chosen(rule: Hindsight, found: FrameIndex) -> list[list[int]]:
    """Of each position those that may be its goal."""
    return [list(range(first, end)) for first, end in zip(*rule.choices(found), strict=True)]


def test_frames_ahead_within_the_track() -> None:
    assert chosen(Hindsight(frames=(1, 2)), index([0] * 4, [0] * 3)) == [[1, 2], [2, 3], [3], [], [5, 6], [6], []]


def test_zero_frames_ahead_is_the_frame_itself() -> None:
    assert chosen(Hindsight(frames=(0, 1)), index([0, 0])) == [[0, 1], [1]]


def test_a_track_that_is_too_short_has_no_goals() -> None:
    assert chosen(Hindsight(frames=(5, 9)), index([0] * 5)) == [[]] * 5


def test_seconds_ahead_are_by_stamps_both_ends_included() -> None:
    found = index([0, 0.1, 0.5, 0.6, 2.0], [0, 0.5])
    assert chosen(Hindsight(seconds=(0.5, 0.6)), found) == [[2, 3], [3], [], [], [], [6], []]


def test_seconds_end_where_stamps_go_back() -> None:
    assert chosen(Hindsight(seconds=(1, 3)), index([0, 1, 2, 0, 1, 2])) == [[1, 2], [2], [], [4, 5], [5], []]


def test_unknown_stamps_have_no_seconds() -> None:
    assert chosen(Hindsight(seconds=(0.5, 9)), index([0, 0, 0])) == [[], [], []]


def test_seconds_from_zero_never_look_back() -> None:
    assert chosen(Hindsight(seconds=(0, 1)), index([5, 5, 5])) == [[0, 1, 2], [1, 2], [2]]


def test_every_choice_is_as_likely_and_none_has_its_share() -> None:
    rule = Hindsight(frames=(1, 4), none_share=0.2)
    items = np.arange(5000)
    goals = rule.choose(draws_of(0, 0, items), np.full(5000, 10), np.full(5000, 14))
    counts = Counter(goals.tolist())
    assert set(counts) == {NONE, 10, 11, 12, 13}
    assert all(abs(count - 1000) < 5 * np.sqrt(800) for count in counts.values())  # five standard deviations


def test_draws_are_an_items_own() -> None:
    every = draws_of(3, 1, np.arange(100))
    assert len(np.unique(every)) == 200
    assert np.array_equal(draws_of(3, 1, np.array([70, 2, 70])), every[[70, 2, 70]])
    assert not np.isin(draws_of(3, 2, np.arange(100)), every).any()
    assert not np.isin(draws_of(4, 1, np.arange(100)), every).any()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"frames": (1, 2), "seconds": (1, 2)},
        {"frames": (3, 2)},
        {"frames": (-1, 2)},
        {"frames": (1, 2), "none_share": 1},
        {"frames": (1, 2), "none_share": -0.1},
    ],
    ids=str,
)
def test_what_is_no_rule_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(HindsightError, match=r"^found .*; expected "):
        Hindsight(**arguments)
