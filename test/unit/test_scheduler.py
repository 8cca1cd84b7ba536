"""Newest frame wins, and the counters add up whatever happens."""

from __future__ import annotations

from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from omnivla_vision.scheduler import NewestFrame

ACTIONS = st.lists(st.sampled_from(["offer", "take", "drop", "published", "rejected", "failed"]), max_size=60)


def test_the_newest_frame_wins() -> None:
    slot: NewestFrame[str] = NewestFrame()
    for frame in ("a", "b", "c"):
        slot.offer(frame)
    assert slot.take() == "c"
    assert slot.take() is None
    slot.published()
    counts = slot.counts
    assert (counts.received, counts.published, counts.superseded, counts.in_flight) == (3, 1, 2, 0)


@given(ACTIONS)
def test_received_is_the_sum_of_the_others_at_any_moment(actions: list[str]) -> None:
    slot: NewestFrame[int] = NewestFrame()
    taken = received = 0
    for number, action in enumerate(actions):
        if action == "offer":
            slot.offer(number)
            received += 1
        elif action == "take":
            taken += slot.take() is not None
        elif action == "drop":
            slot.drop()
        elif taken:
            getattr(slot, action)()
            taken -= 1
        counts = asdict(slot.counts)
        assert counts.pop("received") == received
        assert sum(counts.values()) == received
        assert min(counts.values()) >= 0
