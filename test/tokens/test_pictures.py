"""Pictures of features."""

from __future__ import annotations

import numpy as np

from omnivla_vision.network.grid import Grid
from omnivla_vision.tokens.pictures import PcaBasis, goal_similarity, heat_map


def test_a_patch_is_as_similar_as_its_best_match() -> None:
    """Of patches about a mean of zero with a spread of one, which standardizing leaves as they are."""
    goal = np.concatenate([np.eye(8), -np.eye(8)]) * 8**0.5
    current = np.array([3 * goal[0], -goal[1], goal[2] + goal[3], np.full(8, 1.0)])
    assert np.allclose(goal_similarity(current, goal), [1, 1, 0.5**0.5, 8**-0.5], atol=1e-6)


def test_no_features_are_similar_to_nothing() -> None:
    assert np.array_equal(goal_similarity(np.zeros((4, 8)), np.eye(4, 8)), np.zeros(4))


def test_heat_goes_from_blue_to_red() -> None:
    picture = heat_map(np.array([-1.0, 1.0, 0.0, 0.0]), grid=Grid(2, 2), height=64)
    assert picture.shape == (64, 64, 3)
    cold, hot = picture[0, 0].astype(int), picture[0, 63].astype(int)
    assert cold[2] > cold[0]
    assert hot[0] > hot[2]


def test_the_few_tokens_of_a_pooled_grid_make_a_picture_too() -> None:
    features = np.random.default_rng(0).normal(size=(2, 32))
    two = PcaBasis.fit(features).picture(features, grid=Grid(1, 2), height=32)
    assert two.shape == (32, 64, 3)
    assert not np.array_equal(two[:, :32], two[:, 32:])
    assert PcaBasis.fit(features[:1]).picture(features[:1], grid=Grid(1, 1), height=32).shape == (32, 32, 3)


def test_a_basis_stays_what_it_is() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(256, 32)) * np.linspace(3, 0.1, 32)
    basis = PcaBasis.fit(features)
    before = basis.picture(features, grid=Grid(16, 16), height=32)
    basis.picture(random.normal(size=(256, 32)), grid=Grid(16, 16), height=32)
    assert np.array_equal(basis.picture(features, grid=Grid(16, 16), height=32), before)
    assert np.array_equal(PcaBasis.fit(features).picture(features, grid=Grid(16, 16), height=32), before)
