"""The pipeline without ROS: goal cache, no goal, seeds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal, KnownGoal
from omnivla_vision.images.rgb import NotAnRgbImageError
from omnivla_vision.network.presets import UnknownPresetError, get_preset
from test.encoders import random_encoder
from test.presets import shallow


@pytest.fixture(scope="module")
def shared_encoder() -> VisionEncoder:
    return random_encoder(shallow("small"), seed=3)


@pytest.fixture
def encoder(shared_encoder: VisionEncoder) -> VisionEncoder:
    shared_encoder.set_goal(None)
    shared_encoder.goal_encodes = 0
    return shared_encoder


def test_a_cached_goals_tokens_are_bit_equal_to_fresh_ones(
    encoder: VisionEncoder, photographs: list[NDArray[np.uint8]]
) -> None:
    current, goal = photographs[:2]
    assert encoder.set_goal(Goal(rgb=goal))
    first, second = encoder.encode(current), encoder.encode(current)
    fresh = encoder.encode(goal).tokens[:256]
    assert first.tokens.shape == (512, 1152)
    assert torch.equal(first.tokens, second.tokens)
    assert torch.equal(first.tokens[256:], fresh)
    assert not torch.equal(first.tokens[:256], fresh)


def test_the_same_picture_is_encoded_once_and_another_replaces_it(
    encoder: VisionEncoder, photographs: list[NDArray[np.uint8]]
) -> None:
    assert encoder.set_goal(Goal(rgb=photographs[0], stamp_ns=1))
    assert not encoder.set_goal(Goal(rgb=photographs[0].copy(), stamp_ns=2))
    assert encoder.goal_encodes == 1
    before = encoder.encode(photographs[2])
    assert encoder.set_goal(Goal(rgb=photographs[1]))
    after = encoder.encode(photographs[2])
    assert encoder.goal_encodes == 2
    assert before.goal is not None
    assert before.goal.stamp_ns == 1
    assert torch.equal(before.tokens[:256], after.tokens[:256])
    assert not torch.equal(before.tokens[256:], after.tokens[256:])


def test_a_goal_is_encoded_apart_from_its_coming_into_force(photographs: list[NDArray[np.uint8]]) -> None:
    encoder = random_encoder(shallow("small"), seed=3, space="projected")
    first, second = (Goal(rgb=picture) for picture in photographs[:2])
    encoder.set_goal(first)
    encoded = encoder.encode_goal(second)
    in_force = encoder.encode(photographs[2])
    assert in_force.goal is first
    # What was kept before the projector is enough, without the network.
    known = KnownGoal(id=second.id, height=second.height, width=second.width)
    encoder.use_goal(encoder.recall_goal(known, encoded.fused))
    recalled = encoder.encode(photographs[2])
    encoder.set_goal(None)
    encoder.set_goal(second)
    assert encoder.goal_encodes == 3
    assert recalled.goal == known
    assert torch.equal(recalled.tokens, encoder.encode(photographs[2]).tokens)
    assert not torch.equal(recalled.tokens[256:], in_force.tokens[256:])


def test_without_a_goal_its_tokens_are_zeros(encoder: VisionEncoder, photographs: list[NDArray[np.uint8]]) -> None:
    result = encoder.encode(photographs[0])
    assert result.goal is None
    assert torch.count_nonzero(result.tokens[256:]) == 0
    assert torch.isfinite(result.tokens).all()
    assert torch.count_nonzero(result.tokens[:256]) > 0


def test_a_goal_that_cannot_be_encoded_leaves_the_old_one(
    encoder: VisionEncoder, photographs: list[NDArray[np.uint8]]
) -> None:
    encoder.set_goal(Goal(rgb=photographs[0]))
    before = encoder.encode(photographs[1])
    with pytest.raises(NotAnRgbImageError):
        encoder.set_goal(Goal(rgb=np.zeros((0, 4, 3), np.uint8)))
    assert torch.equal(encoder.encode(photographs[1]).tokens, before.tokens)


def test_the_same_seed_gives_the_same_tokens_and_the_fingerprint_says_random(
    encoder: VisionEncoder, photographs: list[NDArray[np.uint8]]
) -> None:
    again, other = (random_encoder(shallow("small"), seed=seed) for seed in (3, 4))
    tokens = encoder.encode(photographs[0]).tokens
    assert torch.equal(again.encode(photographs[0]).tokens, tokens)
    assert not torch.equal(other.encode(photographs[0]).tokens, tokens)
    assert encoder.provenance.weights == "random"
    assert encoder.provenance.fingerprint == "weights: random, seed 3, small"


def test_a_goals_id_depends_on_pixels_and_size_only() -> None:
    flat = np.arange(72, dtype=np.uint8)
    wide, tall = Goal(rgb=flat.reshape(4, 6, 3)), Goal(rgb=flat.reshape(6, 4, 3))
    assert wide.id == Goal(rgb=flat.reshape(4, 6, 3).copy(), stamp_ns=9).id
    assert wide.id != tall.id
    assert len(wide.id) == 64


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UnknownPresetError, match="dinosiglip-224, small"):
        get_preset("dinosiglip")
