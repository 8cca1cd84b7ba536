"""Rates and silences."""

from __future__ import annotations

import pytest

from omnivla_vision.live.arrivals import Arrivals


def test_before_the_first() -> None:
    arrivals = Arrivals()
    assert (arrivals.total, arrivals.rate_hz(10.0), arrivals.silence_s(10.0)) == (0, 0.0, None)


def test_a_steady_stream() -> None:
    arrivals = Arrivals()
    for number in range(300):
        arrivals.add(100 + number / 30, 0.01)
    assert arrivals.rate_hz(110 - 1 / 30) == pytest.approx(30, rel=0.01)
    assert (arrivals.total, arrivals.age_s) == (300, 0.01)


def test_a_stream_that_ended() -> None:
    arrivals = Arrivals()
    for number in range(30):
        arrivals.add(100 + number / 30, 0.0)
    assert arrivals.silence_s(104) == pytest.approx(104 - 100 - 29 / 30)
    assert 0 < arrivals.rate_hz(104) < 10
    assert arrivals.rate_hz(200) == 0.0
