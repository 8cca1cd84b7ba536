"""Which goal a frame is like: the right one, whatever the weights, and in a time that no frame notices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.goal_sequence.bag import BagSource
from omnivla_vision.goal_sequence.landmarks import Landmarks, describe
from omnivla_vision.loading import EncoderOptions, load_encoder
from omnivla_vision.network.grid import Grid
from omnivla_vision.resources import resource_path
from test.presets import small_is_shallow

GRID = Grid(16, 16)
DRIVE = Path(resource_path("resource/sample_drive"))


@pytest.mark.parametrize("distribution", ["plain", "realistic"])
def test_the_nearest_goal_of_the_sample_drive_wins(distribution: str) -> None:
    """Nodes 2 s apart, frames in between, half a second from one: of ten nine are most like the nearest."""
    with small_is_shallow():
        encoder = load_encoder(EncoderOptions(preset="small", engine="eager", weights=distribution)).encoder
    descriptors, times = [], []
    for picture in BagSource(DRIVE, spacing_s=0.5, duration_s=8.0).pictures():
        descriptors.append(describe(encoder.encode(picture.rgb).fused[:256], encoder.preset.grid))
        times.append(float(picture.name))
    nodes = range(0, len(times), 4)
    landmarks = Landmarks.of(torch.stack([descriptors[node] for node in nodes]))
    right = []
    for index, descriptor in enumerate(descriptors):
        if index % 4 == 2:  # as far from one as from the other
            continue
        similarities = landmarks.similarities(descriptor, range(len(nodes)))
        nearest = np.argmin([abs(times[node] - times[index]) for node in nodes])
        right.append(np.argmax(similarities) == nearest)
        if index in nodes:
            assert similarities[nearest] == pytest.approx(1.0, abs=1e-5)
            assert np.sort(similarities)[-2] < 0.7
    assert sum(right) >= 0.9 * len(right)


def test_a_massive_channel_does_not_outshout_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    goals = torch.randn(5, 256, 32, generator=generator)
    goals[..., 7] += 1000.0
    landmarks = Landmarks.of(torch.stack([describe(goal, GRID) for goal in goals]))
    seen = goals[2] + 0.1 * torch.randn(256, 32, generator=generator)
    similarities = landmarks.similarities(describe(seen, GRID), range(5))
    assert similarities[2] > 0.9
    assert max(similarities[:2] + similarities[3:]) < 0.5


def test_left_is_not_right() -> None:
    picture = torch.zeros(16, 16, 4)
    picture[:, 3] = 1.0
    goals = [describe(g.flatten(0, 1), GRID) for g in (picture, picture.flip(1), torch.zeros(16, 16, 4))]
    similarities = Landmarks.of(torch.stack(goals)).similarities(goals[0], range(3))
    assert similarities[0] == pytest.approx(1.0, abs=1e-5)
    assert similarities[1] < 0.5


def test_a_single_goal_has_nothing_to_be_told_from() -> None:
    goal = describe(torch.randn(256, 8, generator=torch.Generator().manual_seed(0)), GRID)
    assert Landmarks.of(goal[None]).similarities(goal, [0]) == [0.0]


def test_of_a_long_sequence_some_say_where_the_channels_lie() -> None:
    goals = torch.randn(1000, 8, generator=torch.Generator().manual_seed(0))
    landmarks = Landmarks.of(goals)
    assert landmarks.mean.shape == (8,)
    assert torch.allclose(landmarks.scale, torch.ones(8), atol=0.3)
    assert landmarks.similarities(goals[999], [998, 999])[1] == pytest.approx(1.0, abs=1e-5)
