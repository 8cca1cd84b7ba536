"""Goal similarity to wheel commands. A demonstration of the wiring and NOT a policy: it knows one corridor, avoids
nothing and must not drive a robot. A policy such as OmniVLA takes this place and reads the same tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]

MAX_SHIFT = 4  # columns of patches to look to either side
ARRIVED = 0.60  # similarity at which the robot stops
FORWARD = 0.35  # metres per second
TURN_PER_COLUMN = 0.10  # radians per second


@dataclass(frozen=True)
class Command:
    """Metres per second, radians per second counter-clockwise, and how similar the view is to the goal, -1 to 1."""

    forward: float
    turn: float
    similarity: float


def steer(current: Features, goal: Features, grid: int) -> Command:
    """Turn to where the goal's picture fits best, and drive until it fits well.

    Args:
        current: [grid * grid, width] tokens of the camera's frame, of one encoder.
        goal: the same of the goal image.
        grid: patches per side.
    """
    mean = goal.astype(np.float32).mean(axis=0)
    here, there = (_unit(tokens.astype(np.float32) - mean).reshape(grid, grid, -1) for tokens in (current, goal))
    fits = {shift: _fit(here, there, shift) for shift in range(-MAX_SHIFT, MAX_SHIFT + 1)}
    shift = max(fits, key=lambda shift: fits[shift])
    similarity = fits[shift]
    # The goal's picture lies `shift` columns further right in the view: turn clockwise.
    turn = -TURN_PER_COLUMN * shift
    return Command(FORWARD if similarity < ARRIVED else 0.0, turn if similarity < ARRIVED else 0.0, similarity)


def _fit(here: Features, there: Features, shift: int) -> float:
    """Mean cosine of the goal's patches to those `shift` columns further right in the view, where both exist."""
    columns = here.shape[1]
    left, right = max(0, shift), min(columns, columns + shift)
    view, picture = here[:, left:right], there[:, left - shift : right - shift]
    return float((view * picture).sum(axis=-1).mean())


def _unit(tokens: Features) -> Features:
    return tokens / np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-6)
