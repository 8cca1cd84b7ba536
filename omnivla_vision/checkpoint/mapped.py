"""A part of a file as a tensor without a copy, and whether the file is still the one that was read."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from omnivla_vision.checkpoint.errors import ChangedFileError


def map_tensor(file: Path, *, offset: int, count: int, dtype: torch.dtype) -> Tensor:
    """`count` elements from byte `offset` on, [count]; writing to them changes the memory, not the file.

    Only these bytes are mapped, so the size of the file does not matter. Whoever keeps the tensor copies it: the file
    may be overwritten, which changes the tensor, or truncated, and touching the tensor then kills the process.

    Raises:
        EOFError: the file ends before them.
    """
    if not count:
        return torch.empty(0, dtype=dtype)
    nbytes = count * dtype.itemsize
    ahead = offset % mmap.ALLOCATIONGRANULARITY
    with file.open("rb") as stream:
        if offset + nbytes > file.stat().st_size:
            raise EOFError
        memory = mmap.mmap(stream.fileno(), ahead + nbytes, access=mmap.ACCESS_COPY, offset=offset - ahead)
    elements = torch.frombuffer(memory, dtype=torch.uint8, offset=ahead, count=nbytes)
    # Nothing obliges a file to place numbers where a processor wants them.
    return (elements if offset % dtype.itemsize == 0 else elements.clone()).view(dtype)


@dataclass(frozen=True)
class FileStates:
    """Files as they were when their tensors were mapped: path -> inode, size, time of the last change."""

    states: dict[Path, tuple[int, int, int]]

    @classmethod
    def of(cls, files: Iterable[Path]) -> FileStates:
        """As they are now."""
        return cls({file: _state(file) for file in files})

    def check(self) -> None:
        """Compare with the present.

        Raises:
            ChangedFileError: a file was written to, replaced or removed.
        """
        for file, state in self.states.items():
            if not file.exists() or _state(file) != state:
                raise ChangedFileError(
                    file,
                    found="a file that changed while its weights were being copied",
                    expected="the one that was checked",
                    advice="start again when nothing writes to it",
                )


def _state(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
