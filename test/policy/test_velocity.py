"""Figures worked out by hand from the controller of OmniVLA's `inference/run_omnivla.py`."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

from omnivla_vision.policy.velocity import Velocity, towards


@pytest.mark.parametrize(
    ("waypoint", "velocity"),
    [
        ((0.1, 0.0, 1.0, 0.0), (0.3, 0.0)),
        ((0.1, 0.02, 1.0, 0.0), (0.3, 3 * math.atan(0.2))),
        ((1.0, 0.0, 1.0, 0.0), (0.5, 0.0)),
        ((-0.1, 0.0, -1.0, 0.0), (0.0, 0.0)),  # never backwards
        ((0.1, -0.2, 1.0, 0.0), (0.3, -1.0)),
        ((0.0, 0.2, 1.0, 0.0), (0.0, 1.0)),
        ((0.0, 0.0, math.cos(0.1), math.sin(0.1)), (0.0, 0.3)),
        ((0.0, 0.0, 1.0, 0.0), (0.0, 0.0)),
    ],
)
def test_towards_a_waypoint(waypoint: tuple[float, ...], velocity: tuple[float, float]) -> None:
    found = towards(*waypoint)
    assert (found.linear, found.angular) == pytest.approx(velocity, abs=1e-12)


@pytest.mark.parametrize(
    ("asked", "limited"),
    [
        ((0.2, 0.1), (0.2, 0.1)),
        ((0.5, 0.1), (0.3, 0.06)),
        ((0.2, 0.6), (0.1, 0.3)),
        ((0.5, -1.0), (0.15, -0.3)),
        ((0.0, 1.0), (0.0, 0.3)),
        ((0.5, 0.0), (0.3, 0.0)),
        ((0.0, 0.0), (0.0, 0.0)),
    ],
)
def test_limits_keep_the_curve(asked: tuple[float, float], limited: tuple[float, float]) -> None:
    found = Velocity(*asked).limited(0.3, 0.3)
    assert (found.linear, found.angular) == pytest.approx(limited)
