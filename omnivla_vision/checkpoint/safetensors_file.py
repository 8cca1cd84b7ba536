"""What is in a .safetensors file, from its header alone."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import torch

from omnivla_vision.checkpoint.errors import CorruptFileError
from omnivla_vision.checkpoint.lfs import refuse_pointer
from omnivla_vision.checkpoint.stored import StoredTensor

# The format's names, https://huggingface.co/docs/safetensors; those that weights have, and those to name in a refusal.
_DTYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
}
# The format's own limit, so that a broken length does not allocate.
_MAX_HEADER_BYTES = 100_000_000


def read_header(file: Path) -> dict[str, StoredTensor]:
    """Describe every tensor of the file; none is read.

    Raises:
        LfsPointerError: git-lfs's pointer to one.
        CorruptFileError: no safetensors file, or one whose end is missing.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
            refuse_pointer(file)
            raise _corrupt(file, f"{size} bytes and a header of {length}", "a safetensors header that fits")
        try:
            header = json.loads(stream.read(length))
            entries = {key: _entry(file, key, entry, 8 + length) for key, entry in header.items() if _is_tensor(key)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _corrupt(file, f"a header that does not parse ({error})", "a safetensors header") from error
    end = max((tensor.offset + _bytes(tensor) for tensor in entries.values()), default=0)
    if end > size:
        raise _corrupt(file, f"{size} bytes", f"{end} bytes, as its header says")
    return entries


def _is_tensor(key: str) -> bool:
    return key != "__metadata__"


def _entry(file: Path, key: str, entry: dict[str, Any], data: int) -> StoredTensor:
    begin, end = entry["data_offsets"]
    tensor = StoredTensor(
        file=file, key=key, dtype=_DTYPES[entry["dtype"]], shape=tuple(entry["shape"]), offset=data + begin
    )
    if begin < 0 or any(size < 0 for size in tensor.shape) or end - begin != _bytes(tensor):
        raise ValueError(f"{key}: {entry}")
    return tensor


def _bytes(tensor: StoredTensor) -> int:
    return math.prod(tensor.shape) * tensor.dtype.itemsize


def _corrupt(file: Path, found: str, expected: str) -> CorruptFileError:
    return CorruptFileError(
        file, found=found, expected=expected, advice="the file is truncated or damaged; download it again"
    )
