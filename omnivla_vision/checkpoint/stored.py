"""A tensor that is still in its file: described first, then mapped, hashed and checked in one pass."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from omnivla_vision.checkpoint.errors import CorruptFileError, NonFiniteWeightsError, WrongDtypeError
from omnivla_vision.checkpoint.mapped import map_tensor

# The dtypes that weights come in, and the unsigned word from which, doubled to drop the sign, a value is NaN or Inf.
_NON_FINITE = {
    torch.bfloat16: np.uint16(0xFF00),
    torch.float16: np.uint16(0xF800),
    torch.float32: np.uint32(0xFF000000),
}
# A piece that stays in the processor's cache between being hashed and being checked.
_CHUNK_BYTES = 1 << 20


class Source(Protocol):
    """Something that becomes one tensor of the network: a stored tensor, or one computed from stored tensors.

    Attributes:
        file: for error messages.
        files: everything that it is read from.
        key: likewise; what the file calls it.
        dtype: of the tensor in the checkpoint, which the fingerprint covers.
        shape: of the tensor.
    """

    @property
    def file(self) -> Path: ...
    @property
    def files(self) -> tuple[Path, ...]: ...
    @property
    def key(self) -> str: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self, consume: Callable[[memoryview], None]) -> Tensor:
        """The tensor in `dtype`, or more precisely; `consume` gets its bytes in `dtype`, in order.

        It may be a part of its file, mapped: see `map_tensor`.

        Raises:
            CorruptFileError: the file ends too early.
            WrongDtypeError: `dtype` is no supported one.
            NonFiniteWeightsError: NaN or Inf.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """Bytes in a file."""

    file: Path
    key: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...] | None = None  # None: row-major

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Source`."""
        return (self.file,)

    def read(self, consume: Callable[[memoryview], None]) -> Tensor:
        """See `Source`."""
        check_dtype(self)
        tensor = self._map()
        if self.strides is not None:
            # Transposed or sliced, as only .pt files have any.
            tensor = tensor.as_strided(self.shape, self.strides).contiguous()
        words = byte_view(tensor)
        for start in range(0, len(words), _CHUNK_BYTES):
            chunk = words[start : start + _CHUNK_BYTES]
            consume(chunk)
            if not _is_finite(chunk, self.dtype):
                raise self.non_finite("NaN or Inf")
        return tensor.view(self.shape)

    def _map(self) -> Tensor:
        """All elements from the first to the last, [elements]."""
        count = math.prod(self.shape)
        if self.strides is not None and count:
            count = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        try:
            return map_tensor(self.file, offset=self.offset, count=count, dtype=self.dtype)
        except EOFError as error:
            raise CorruptFileError(
                self.file,
                key=self.key,
                found="the end of the file",
                expected=f"{count * self.dtype.itemsize} bytes from {self.offset}",
                advice="the file is truncated; download it again",
            ) from error

    def non_finite(self, found: str) -> NonFiniteWeightsError:
        """The refusal of this tensor's values."""
        return NonFiniteWeightsError(
            self.file,
            key=self.key,
            found=found,
            expected="finite numbers",
            advice="the weights are damaged or the training diverged; take another checkpoint",
        )


def read_source(source: Source, dtype: torch.dtype) -> tuple[Tensor, bytes]:
    """Read one tensor in `dtype`, with the SHA-256 of its bytes as the checkpoint has them. Raises as `Source.read`."""
    digest = hashlib.sha256()
    stored = source.read(digest.update)
    tensor = stored.to(dtype)
    if tensor.dtype != stored.dtype and not _is_finite(byte_view(tensor), dtype):
        raise NonFiniteWeightsError(
            source.file,
            key=source.key,
            found=f"values up to {stored.abs().max():.3g}",
            expected=f"values that {dtype_name(dtype)} can hold",
            advice="load in bfloat16 or float32",
        )
    return tensor, digest.digest()


def check_dtype(source: Source) -> None:
    """Refuse what is no floating-point weight.

    Raises:
        WrongDtypeError: neither bfloat16, float16 nor float32.
    """
    if source.dtype not in _NON_FINITE:
        raise WrongDtypeError(
            source.file,
            key=source.key,
            found=dtype_name(source.dtype),
            expected="bfloat16, float16 or float32",
            advice="a quantized checkpoint cannot be loaded; take the one that it was made from",
        )


def byte_view(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor, without a copy."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def dtype_name(dtype: torch.dtype) -> str:
    """E.g. "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def _is_finite(values: memoryview, dtype: torch.dtype) -> bool:
    """Whether no exponent has all its bits set: several times faster than asking torch, and without a copy."""
    limit = _NON_FINITE[dtype]
    words = np.frombuffer(values, limit.dtype)
    return not words.size or bool((words << 1).max() < limit)
