"""Newest frame wins, and the counters add up whatever happens."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnivla_vision.live.scheduler import NewestFrame, is_stale

SETTLED = ["published", "stale", "rejected", "failed"]
ACTIONS = st.lists(st.sampled_from(["offer", "refuse", "take", "drop", "expire", *SETTLED]), max_size=60)
SECOND = 1_000_000_000


def test_the_newest_frame_wins() -> None:
    slot: NewestFrame[str] = NewestFrame()
    for frame in ("a", "b", "c"):
        slot.offer(frame)
    assert slot.take() == "c"
    assert slot.take() is None
    slot.published()
    counts = slot.counts
    assert (counts.received, counts.published, counts.superseded, counts.in_flight) == (3, 1, 2, 0)


def test_what_is_no_image_does_not_push_out_a_good_frame() -> None:
    slot: NewestFrame[str] = NewestFrame()
    slot.offer("good")
    slot.refuse()
    assert slot.take() == "good"
    assert (slot.counts.rejected, slot.counts.superseded) == (1, 0)


def test_a_frame_whose_time_is_over_is_stale() -> None:
    slot: NewestFrame[str] = NewestFrame()
    slot.expire()
    slot.offer("old")
    slot.expire()
    assert not slot.waiting
    assert (slot.counts.stale, slot.counts.in_flight) == (1, 0)


@given(ACTIONS)
def test_received_is_the_sum_of_the_others_at_any_moment(actions: list[str]) -> None:
    slot: NewestFrame[int] = NewestFrame()
    taken = received = 0
    for number, action in enumerate(actions):
        if action in ("offer", "refuse"):
            slot.offer(number) if action == "offer" else slot.refuse()
            received += 1
        elif action == "take":
            taken += slot.take() is not None
        elif action in ("drop", "expire"):
            getattr(slot, action)()
        elif taken:
            getattr(slot, action)()
            taken -= 1
        counts = asdict(slot.counts)
        assert counts.pop("received") == received
        assert sum(counts.values()) == received
        assert min(counts.values()) >= 0


@pytest.mark.parametrize(
    ("age_s", "limit_s", "stale"),
    [(0.0, 1.0, False), (1.0, 1.0, False), (1.001, 1.0, True), (-5.0, 1.0, False), (1e6, 0.0, False)],
)
def test_staleness(age_s: float, limit_s: float, stale: bool) -> None:
    now = 1_700_000_000 * SECOND
    assert is_stale(now - round(age_s * SECOND), now_ns=now, limit_s=limit_s) == stale
