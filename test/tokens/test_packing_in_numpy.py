"""Packing and unpacking of tokens where there is no torch."""

from __future__ import annotations

import numpy as np
import pytest

from omnivla_vision.tokens.packing import NonFiniteTokensError, pack, unpack

TOKENS = np.random.default_rng(0).normal(size=(512, 24)).astype(np.float32) * 30


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_round_trip(dtype: str) -> None:
    unpacked = unpack(pack(TOKENS, dtype))
    assert unpacked.dtype == dtype
    assert np.array_equal(unpacked, TOKENS.astype(dtype))


def test_bfloat16_is_unpacked_as_float32_with_its_eight_bits() -> None:
    unpacked = unpack(pack(TOKENS, "bfloat16"))
    assert unpacked.dtype == np.float32
    assert not (unpacked.view(np.uint32) & 0xFFFF).any()
    assert np.allclose(unpacked, TOKENS, rtol=2**-8)


def test_bfloat16_breaks_ties_to_even() -> None:
    halfway = np.array([0x3F808000, 0x3F818000, 0xBF808000], np.uint32).view(np.float32)
    assert np.frombuffer(pack(halfway, "bfloat16").data, np.uint16).tolist() == [0x3F80, 0x3F82, 0xBF80]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 70000])
def test_what_float16_does_not_hold_is_refused(bad: float) -> None:
    tokens = TOKENS.copy()
    tokens[3, 4] = bad
    with pytest.raises(NonFiniteTokensError):
        pack(tokens, "float16")
