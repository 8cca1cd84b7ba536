"""The ring of past frames, against a reference that keeps everything and looks at each."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.history.ring import HistoryMemoryError, MissingStampError, Past, Ring
from omnivla_vision.network.history import History, get_spacing

SECOND = 10**9
SHAPE = (2, 3)


def tokens(number: int) -> torch.Tensor:
    """What stands for the tokens of the frame of that number; never zeros."""
    return torch.full(SHAPE, float(number + 1))


class Keeper:
    """A ring, and all that was ever given to it."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.ring = Ring(history, [SHAPE])
        self.all: list[int] = []

    def see(self, stamp_ns: int) -> Past:
        past = self.ring.past(stamp_ns)
        self.ring.keep(stamp_ns, [tokens(len(self.all))])
        self.all.append(stamp_ns)
        return past


def numbers(past: Past) -> list[int | None]:
    """Which frames these are; None for those that are masked. Everything that is said of them is compared."""
    found: list[int | None] = []
    for stamp_ns, valid, frame in zip(past.stamps_ns, past.valid, past.tokens[0], strict=True):
        number = round(float(frame[0, 0])) - 1
        assert torch.equal(frame, tokens(number) if valid else torch.zeros(SHAPE))
        assert valid or stamp_ns == 0
        found.append(number if valid else None)
    return found


@pytest.mark.parametrize("spacing", [1, 2, 5])
def test_by_frames_every_kth_one_is_given(spacing: int) -> None:
    keeper = Keeper(History(frames=3, spacing=get_spacing(str(spacing))))
    for now in range(40):  # the ring goes round more than twice
        past = keeper.see(now * 7)
        expected = [n if n >= 0 else None for n in (now - spacing, now - 2 * spacing, now - 3 * spacing)]
        assert numbers(past) == expected
        assert past.stamps_ns == tuple(0 if n is None else n * 7 for n in expected)


def test_by_seconds_the_nearest_is_given_at_a_steady_rate() -> None:
    keeper = Keeper(History(frames=4, spacing=get_spacing("0.5s")))
    for now in range(100):  # 10 Hz
        past = keeper.see(SECOND + now * SECOND // 10)
        # The first frame stands for moments up to a quarter of a second before it.
        expected = [max(n, 0) if n >= -2.5 else None for n in (now - 5, now - 10, now - 15, now - 20)]
        assert numbers(past) == expected


@pytest.mark.parametrize("seed", range(8))
def test_by_seconds_it_gives_what_a_reference_gives_that_forgets_nothing(seed: int) -> None:
    chance = random.Random(seed)
    tolerance_ns = chance.choice([0, SECOND // 2, SECOND // 10])
    history = History(frames=chance.randint(1, 6), spacing=get_spacing("1s"), tolerance_ns=tolerance_ns)
    keeper, stamp_ns, kept = Keeper(history), SECOND, []
    for number in range(400):
        # Bursts, a steady camera, and gaps longer than all that is kept.
        stamp_ns += round(chance.choice([0, 0.001, 0.033, 0.1, 0.1, 0.1, 0.7, 3, 20]) * SECOND * chance.uniform(0.9, 1))
        found = numbers(keeper.see(stamp_ns))
        for index, given in enumerate(found, start=1):
            wanted_ns = stamp_ns - index * SECOND
            near = [n for n in kept if abs(keeper.all[n] - wanted_ns) <= history.tolerance]
            assert given == min(reversed(near), key=lambda n: abs(keeper.all[n] - wanted_ns), default=None)
            # And what was not kept costs less than the thinning.
            ever = min((abs(past_ns - wanted_ns) for past_ns in keeper.all[:-1]), default=None)
            if ever is not None and ever <= history.tolerance - history.thinning:
                assert given is not None
                assert abs(keeper.all[given] - wanted_ns) < ever + history.thinning
        if not kept or stamp_ns - keeper.all[kept[-1]] >= history.thinning:
            kept.append(number)


def test_of_two_equally_near_ones_the_newer_is_given() -> None:
    keeper = Keeper(History(frames=1, spacing=get_spacing("1s")))
    for stamp_ns in (SECOND * 3 // 4, SECOND * 5 // 4, 2 * SECOND):
        past = keeper.see(stamp_ns)
    assert numbers(past) == [1]


def test_a_fast_camera_takes_no_more_memory_than_a_slow_one() -> None:
    history = History(frames=2, spacing=get_spacing("1s"))
    keeper = Keeper(history)
    for number in range(4000):  # 1 kHz
        past = keeper.see(SECOND + number * SECOND // 1000)
    ages = [keeper.all[-1] - stamp_ns for stamp_ns in past.stamps_ns]
    assert all(abs(age - index * SECOND) < history.thinning for index, age in enumerate(ages, start=1))
    assert len(keeper.ring._places) <= history.kept


def test_a_stamp_that_goes_back_starts_over() -> None:
    keeper = Keeper(History(frames=2, spacing=get_spacing("1s")))
    for stamp in (10, 11, 12):
        past = keeper.see(stamp * SECOND)
    assert past.valid == (True, True)
    assert keeper.see(5 * SECOND).valid == (False, False)
    assert keeper.see(6 * SECOND).stamps_ns == (5 * SECOND, 0)


def test_what_was_given_stays_when_the_ring_goes_on() -> None:
    keeper = Keeper(History(frames=1))
    keeper.see(1)
    past = keeper.see(2)
    for stamp_ns in range(3, 9):
        keeper.see(stamp_ns)
    assert numbers(past) == [0]


def test_forgetting_leaves_nothing() -> None:
    keeper = Keeper(History(frames=2))
    for stamp_ns in range(5):
        keeper.see(stamp_ns)
    keeper.ring.forget()
    assert keeper.see(5).valid == (False, False)


def test_frames_without_stamps_are_counted_but_not_found_by_time() -> None:
    keeper = Keeper(History(frames=1))
    keeper.see(0)
    assert keeper.see(0).valid == (True,)
    keeper.ring.check(0)
    with pytest.raises(MissingStampError, match=r"past frames are 0\.5s apart"):
        Ring(History(frames=1, spacing=get_spacing("0.5s")), [SHAPE]).check(0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_frame_that_is_not_finite_does_not_spoil_those_after_it(bad: float) -> None:
    ring = Ring(History(frames=2), [SHAPE])
    ring.keep(1, [tokens(0)])
    ring.keep(2, [torch.full(SHAPE, bad)])
    past = ring.past(3)
    assert past.valid == (False, True)
    assert torch.equal(past.tokens[0][0], torch.zeros(SHAPE))
    assert torch.equal(past.tokens[0][1], tokens(0))


def test_several_tensors_of_a_frame_are_kept_together() -> None:
    ring = Ring(History(frames=1), [(2, 4), (1, 7)])
    ring.keep(1, [torch.ones(2, 4), torch.full((1, 7), 2.0)])
    given = ring.past(2).tokens
    assert [part.shape for part in given] == [(1, 2, 4), (1, 1, 7)]
    assert [float(part.mean()) for part in given] == [1, 2]


def test_more_than_a_gigabyte_is_refused_before_it_is_taken() -> None:
    whole = (1, 256, 2176)
    Ring(History(frames=8, spacing=get_spacing("1s")), [whole])
    with pytest.raises(HistoryMemoryError, match=r"505 of 2228224 bytes would be kept; .*pool them"):
        Ring(History(frames=31, spacing=get_spacing("1s")), [whole])
