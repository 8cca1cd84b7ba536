"""Packing and unpacking of token tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from omnivla_vision.tokens.packing import (
    DTYPES,
    NonFiniteTokensError,
    PackedTokens,
    TokenSizeError,
    UnknownDtypeError,
    pack,
    unpack,
    unpack_torch,
)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(512, 24, generator=torch.Generator().manual_seed(0)) * 30


@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip_rounds_once_as_torch_does(tokens: torch.Tensor, dtype: str) -> None:
    expected = tokens.to(getattr(torch, dtype))
    packed = pack(tokens, dtype)
    assert torch.equal(unpack_torch(packed), expected)
    assert np.array_equal(unpack(packed).astype(np.float32), expected.float().numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_and_torch_pack_the_same_bytes(tokens: torch.Tensor, dtype: str) -> None:
    assert np.array_equal(pack(tokens.numpy(), dtype).data, pack(tokens, dtype).data)


@given(
    st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**127), max_value=2.0**127),
        max_size=40,
    )
)
def test_bfloat16_rounds_like_torch_for_any_number(values: list[float]) -> None:
    array = np.array(values, np.float32)
    expected = torch.from_numpy(array).to(torch.bfloat16)
    assert torch.equal(unpack_torch(pack(array, "bfloat16")), expected)


def test_the_description_is_dlpacks(tokens: torch.Tensor) -> None:
    packed = pack(tokens, "float16")
    assert (packed.dtype_code, packed.dtype_bits, packed.dtype_lanes) == (2, 16, 1)
    assert pack(tokens, "bfloat16").dtype_code == 4
    assert packed.shape == (512, 24)
    assert packed.strides == (24, 1)
    assert len(packed.data) == 512 * 24 * 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_blocks_are_packed_as_if_they_were_joined(tokens: torch.Tensor, dtype: str) -> None:
    zeros = torch.zeros(1, 24).expand(3, -1)
    assert pack([tokens[:100], zeros, tokens[100:].T.contiguous().T], dtype) == pack(
        torch.cat([tokens[:100], zeros, tokens[100:]]), dtype
    )
    tokens[400, 1] = float("nan")
    with pytest.raises(NonFiniteTokensError, match=r"found 1 NaN or infinite values in tokens of shape \[512, 24\]"):
        pack(tokens.split(100), dtype)


@pytest.mark.parametrize("shapes", [[], [(2, 3), (2, 4)], [(2, 3), (6,)], [(), ()]])
def test_blocks_that_cannot_be_joined(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(
        TokenSizeError, match=r"found blocks of shapes \[.*expected some that differ only on their first"
    ):
        pack([torch.ones(shape) for shape in shapes])


def test_non_contiguous_tokens_are_packed_in_row_major_order(tokens: torch.Tensor) -> None:
    assert np.array_equal(unpack(pack(tokens.T, "float32")), tokens.T.numpy())
    assert np.array_equal(unpack(pack(tokens.numpy().T, "float32")), tokens.T.numpy())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("as_numpy", [True, False])
def test_non_finite_tokens_are_refused(tokens: torch.Tensor, bad: float, dtype: str, as_numpy: bool) -> None:
    tokens[3, 4] = bad
    with pytest.raises(NonFiniteTokensError, match="found 1 NaN or infinite values"):
        pack(tokens.numpy() if as_numpy else tokens, dtype)


@pytest.mark.parametrize("as_numpy", [True, False])
def test_overflow_of_float16_is_refused_and_the_way_out_named(tokens: torch.Tensor, as_numpy: bool) -> None:
    tokens[0, 0] = 70000
    with pytest.raises(NonFiniteTokensError, match="choose float32 or bfloat16"):
        pack(tokens.numpy() if as_numpy else tokens, "float16")
    assert unpack(pack(tokens, "bfloat16"))[0, 0] == 70144


def test_an_unknown_dtype_lists_the_known_ones(tokens: torch.Tensor) -> None:
    with pytest.raises(UnknownDtypeError, match="float16, bfloat16, float32"):
        pack(tokens, "int8")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            {"shape": (512, 25), "strides": (25, 1)},
            TokenSizeError,
            r"found 24576 bytes for float16 \[512, 25\]; expected",
        ),
        ({"shape": (2**40, 2**40), "strides": (2**40, 1)}, TokenSizeError, "found 24576 bytes"),
        ({"shape": (-512, -24), "strides": (-24, 1)}, TokenSizeError, "negative"),
        ({"strides": (1, 512)}, TokenSizeError, "row-major"),
        ({"strides": ()}, TokenSizeError, "row-major"),
        ({"byte_offset": 2}, TokenSizeError, "byte offset 2"),
        ({"data": np.zeros(0, np.uint8)}, TokenSizeError, "found 0 bytes"),
        ({"data": np.zeros(24577, np.uint8)}, TokenSizeError, "found 24577 bytes"),
        ({"dtype_bits": 8}, UnknownDtypeError, "code, bits, lanes"),
        ({"dtype_lanes": 4}, UnknownDtypeError, "code, bits, lanes"),
        ({"dtype_code": 0}, UnknownDtypeError, "code, bits, lanes"),
    ],
)
@pytest.mark.parametrize("reader", [unpack, unpack_torch])
def test_what_does_not_add_up_is_refused(
    tokens: torch.Tensor, change: dict[str, Any], error: type[Exception], match: str, reader: Any
) -> None:
    packed: PackedTokens = replace(pack(tokens, "float16"), **change)
    with pytest.raises(error, match=match):
        reader(packed)


def test_read_only_bytes_unpack_too(tokens: torch.Tensor) -> None:
    packed = pack(tokens, "float32")
    frozen = replace(packed, data=packed.data.tobytes())
    assert torch.equal(unpack_torch(frozen), tokens)
