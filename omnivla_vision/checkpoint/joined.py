"""Several stored tensors that are one in the network: q, k and v, or the two halves of a gated MLP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor

from omnivla_vision.checkpoint.errors import ShapeMismatchError
from omnivla_vision.checkpoint.stored import StoredTensor, byte_view


@dataclass(frozen=True, kw_only=True)
class Zeros:
    """So many zeros, where a file has no bias; `like` is the weight beside it."""

    like: StoredTensor
    count: int

    @property
    def file(self) -> Path:
        """See `Source`."""
        return self.like.file

    @property
    def key(self) -> str:
        """See `Source`."""
        return self.like.key

    @property
    def dtype(self) -> torch.dtype:
        """See `Source`."""
        return self.like.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Source`."""
        return (self.count,)

    def read(self, consume: Callable[[memoryview], None]) -> Tensor:
        """See `Source`."""
        zeros = torch.zeros(self.count, dtype=self.dtype)
        consume(byte_view(zeros))
        return zeros


@dataclass(frozen=True, kw_only=True)
class JoinedTensor:
    """Tensors of equal shapes, one behind the other along the first dimension, joined when they are read.

    The fingerprint covers the result: it is that of a file which holds the whole.
    """

    parts: tuple[StoredTensor | Zeros, ...]

    @property
    def file(self) -> Path:
        """See `Source`."""
        return self.parts[0].file

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Source`."""
        return (self.file,)

    @property
    def key(self) -> str:
        """The first part's."""
        return self.parts[0].key

    @property
    def dtype(self) -> torch.dtype:
        """The widest of the parts'."""
        return reduce(torch.promote_types, (part.dtype for part in self.parts))

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Source`."""
        return (sum(part.shape[0] for part in self.parts), *self.parts[0].shape[1:])

    def read(self, consume: Callable[[memoryview], None]) -> Tensor:
        """See `Source`."""
        joined = torch.cat([part.read(lambda _: None).to(self.dtype) for part in self.parts])
        consume(byte_view(joined))
        return joined


def join(parts: tuple[StoredTensor | Zeros, ...]) -> JoinedTensor:
    """The parts as one.

    Raises:
        ShapeMismatchError: they have different shapes.
    """
    for part in parts:
        if part.shape != parts[0].shape or not part.shape:
            raise ShapeMismatchError(
                part.file,
                key=part.key,
                found=f"{list(part.shape)}",
                expected=f"{list(parts[0].shape)}, as {parts[0].key} beside it has",
                advice="the file is damaged, or of a network with fewer keys than queries, which is not supported",
            )
    return JoinedTensor(parts=parts)
