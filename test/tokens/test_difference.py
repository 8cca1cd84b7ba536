"""How far tokens are from others: no channel outshouts the rest, and no shift of a constant one is lost."""

from __future__ import annotations

import numpy as np
import pytest

from omnivla_vision.tokens.channels import Channels
from omnivla_vision.tokens.difference import Difference, difference
from omnivla_vision.tokens.pictures import goal_similarity

IMAGES, TOKENS, WIDTH = 3, 64, 48
MASSIVE = 7


def make(massive: float, seed: int = 0) -> np.ndarray:
    """Tokens of which every one has the same large number in one channel."""
    tokens = np.random.default_rng(seed).standard_normal((IMAGES, TOKENS, WIDTH)).astype(np.float32)
    tokens[..., MASSIVE] = massive + tokens[..., MASSIVE] * massive / 1e6
    return tokens


def measure(tokens: np.ndarray, reference: np.ndarray) -> Difference:
    return difference("a", tokens, reference, Channels.of(reference))


@pytest.mark.parametrize("massive", [0.0, 300.0, 3000.0])
def test_a_massive_channel_hides_nothing(massive: float) -> None:
    reference = make(massive)
    noise = np.random.default_rng(1).standard_normal(reference.shape).astype(np.float32)
    noise[..., MASSIVE] = 0
    found = measure(reference + 0.1 * noise, reference)
    assert found.relative_l2 == pytest.approx(0.1, rel=0.1)
    assert found.cosine_mean == pytest.approx(0.995, abs=0.001)
    # Over the raw tokens, both would say that nothing has changed.
    if massive:
        assert np.linalg.norm(0.1 * noise) / np.linalg.norm(reference) < 0.01


@pytest.mark.parametrize("massive", [0.0, 300.0, 3000.0])
def test_other_tokens_are_other_tokens(massive: float) -> None:
    found = measure(make(massive, seed=1), make(massive))
    assert abs(found.cosine_mean) < 0.1
    assert found.relative_l2 > 1


def test_a_shift_of_a_constant_channel_is_seen() -> None:
    """By its absolute error: of 300, bfloat16 resolves about one; a hundredth more is six times its rounding."""
    reference = make(300.0)
    reference[..., MASSIVE] = 300.0
    shifted = reference.copy()
    shifted[..., MASSIVE] += 3.0
    assert measure(shifted, reference).channel == pytest.approx(3.0 / (300 * 2**-9), rel=1e-3)
    assert measure(reference, reference).channel == 0


def test_a_channel_that_is_zero_may_not_become_something() -> None:
    reference = make(0.0)
    reference[..., MASSIVE] = 0
    broken = reference.copy()
    broken[0, 0, MASSIVE] = 1.0
    assert measure(broken, reference).channel > 10


def test_a_loss_of_contrast_is_seen_through_noise() -> None:
    reference = make(0.0)
    noise = 0.2 * np.random.default_rng(1).standard_normal(reference.shape)
    mean = reference.mean(axis=1, keepdims=True)
    assert measure(reference + noise, reference).spread < 0.02
    assert measure(mean + 0.9 * (reference - mean) + noise, reference).spread == pytest.approx(0.1, abs=0.02)


def test_what_bfloat16_cannot_resolve_weighs_less() -> None:
    """A channel whose spread is its rounding error does not become an error of the size of a feature."""
    reference = make(0.0)
    reference[..., MASSIVE] = 1000 + reference[..., MASSIVE] * 0.01
    rounded = reference.copy()
    rounded[..., MASSIVE] = 1000.0
    channels = Channels.of(reference, bfloat16=rounded)
    assert channels.scale[MASSIVE] > 0.05
    assert difference("a", rounded, reference, channels).relative_l2 < 0.05
    assert difference("a", reference, reference, channels) == Difference(
        encoder="a", cosine_min=pytest.approx(1.0), cosine_mean=pytest.approx(1.0), relative_l2=0, channel=0, spread=0
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_none_shows(bad: float) -> None:
    tokens = make(0.0)
    tokens[1, 2, 3] = bad
    found = measure(tokens, make(0.0))
    assert not found.finite
    assert str(found) == "a: NaN or infinite values"


def test_constant_tokens_are_equal_to_themselves_and_to_nothing_else() -> None:
    reference = np.full((1, 4, 8), 2.0, np.float32)
    same = measure(reference, reference)
    assert (same.cosine_min, same.relative_l2, same.channel, same.spread) == (1, 0, 0, 0)
    assert measure(reference + 1, reference).channel > 100


@pytest.mark.parametrize("massive", [0.0, 300.0])
def test_similarity_to_a_goal_tells_patches_apart_in_spite_of_a_massive_channel(massive: float) -> None:
    goal, other = make(massive)[0], make(massive, seed=1)[0]
    current = np.concatenate([goal[:32], other[32:]])
    values = goal_similarity(current, goal)
    assert values[:32] == pytest.approx(1.0, abs=1e-5)
    assert values[32:].max() < 0.7
