"""What is in a .pt file: the pickled structure, without the tensors' data and without running code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from omnivla_vision.checkpoint.errors import CorruptFileError, LegacyPickleError, UnsafePickleError
from omnivla_vision.checkpoint.lfs import refuse_pointer
from omnivla_vision.checkpoint.stored import StoredTensor


def read_structure(file: Path) -> Any:
    """Unpickle a .pt file with `StoredTensor`s in place of the tensors; of 30 GB only the structure is read.

    Raises:
        UnsafePickleError: it holds anything but tensors, plain values and containers.
        LegacyPickleError: it was written in the format before torch 1.6.
        LfsPointerError: it is git-lfs's pointer to one.
        CorruptFileError: it is truncated or no .pt file.
    """
    if not zipfile.is_zipfile(file):
        refuse_pointer(file)
        raise _not_a_zip(file)
    try:
        # A fake tensor has no memory; torch notes beside it where in the file its data lies.
        with FakeTensorMode():
            structure = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafePickleError(
            file,
            found=next((line for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line), "code"),
            expected="tensors and plain containers only",
            advice="it might run code when loaded, so it is not; ask its author for the state dicts alone",
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError) as error:
        raise CorruptFileError(
            file, found=str(error).splitlines()[0], expected="a .pt file", advice="download it again"
        ) from error
    return _describe(file, structure, "")


def _describe(file: Path, value: Any, key: str) -> Any:
    if isinstance(value, Tensor):
        return _stored(file, value, key)
    if isinstance(value, dict):
        return {name: _describe(file, item, str(name)) for name, item in value.items()}
    return value


def _stored(file: Path, tensor: Tensor, key: str) -> StoredTensor:
    # The offset of each storage is what torch's serialization notes document for loading under FakeTensorMode.
    start = tensor.untyped_storage()._checkpoint_offset  # noqa: SLF001
    if start is None:
        raise CorruptFileError(
            file, key=key, found="a tensor without data", expected="one with", advice="save it again"
        )
    return StoredTensor(
        file=file,
        key=key,
        dtype=tensor.dtype,
        shape=tuple(tensor.shape),
        offset=start + int(tensor.storage_offset()) * tensor.dtype.itemsize,
        strides=None if tensor.is_contiguous() else tensor.stride(),
    )


def _not_a_zip(file: Path) -> CorruptFileError | LegacyPickleError:
    with file.open("rb") as stream:
        start = stream.read(2)
    # Pickle's PROTO opcode, with which torch's files before 1.6 begin.
    if start == b"\x80\x02":
        return LegacyPickleError(
            file,
            found="torch's file format before 1.6",
            expected="the zip format, of which single tensors can be read",
            advice="on a machine with enough memory: torch.save(torch.load(old, weights_only=True), new)",
        )
    return CorruptFileError(
        file,
        found="no zip archive, or one without its end",
        expected="a .pt file as torch.save writes it",
        advice="the file is truncated or damaged; download it again",
    )
