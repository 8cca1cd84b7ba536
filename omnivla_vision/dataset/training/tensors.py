"""A dataset's columns as tensors: tokens without a copy, and the numbers of other topics field by field."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from omnivla_vision.dataset.description import StoredOutput
from omnivla_vision.dataset.errors import UnknownColumnError


def tokens_of(column: pa.ChunkedArray, output: StoredOutput, dtype: str) -> Tensor:
    """Tokens in the memory that they were read into.

    Args:
        column: of float16, or of bfloat16's bits.
        output: says the shape.
        dtype: "float16" or "bfloat16".

    Returns:
        [rows, tokens, width] of that dtype.
    """
    lists = _whole(column)
    size = output.elements
    # As `flatten` does, which looks for nulls first.
    bits = lists.values.slice(lists.offset * size, len(lists) * size).view(pa.int16())
    numbers: Tensor = from_dlpack(bits).view(getattr(torch, dtype))
    return numbers.view(len(column), output.tokens, output.width)


def fields_of(schema: pa.Schema, name: str) -> list[str]:
    """What there is under a name: itself, or the fields of a struct that are numbers, each with dots ("/odom.age_s").

    Args:
        schema: the dataset's.
        name: of a column, or of a field in it; texts and pictures only by their own names.

    Raises:
        UnknownColumnError: there is none of this name, or it is a list whose length varies.
    """
    top, *inner = name.split(".")
    kind = schema.field(top).type if top in schema.names else None
    for part in inner:
        kind = kind.field(part).type if kind is not None and _has(kind, part) else None
    if kind is None or not (pa.types.is_struct(kind) or _stacks(kind) or _text(kind)):
        numbers = [field for item in schema for field in _numbers(item.name, item.type)]
        found = f"no {name}" if kind is None else f"{name}, which is {kind}"
        raise UnknownColumnError(
            f"found {found} in the dataset; expected a column of numbers, texts or structs of them; there are: "
            f"{', '.join(numbers)}"
        )
    return list(_numbers(name, kind)) if pa.types.is_struct(kind) else [name]


def values_of(table: pa.Table, field: str) -> Tensor | list[str] | list[bytes]:
    """A field of every row: NaN, 0, False or nothing where there was no value.

    Args:
        table: of a take.
        field: of `fields_of`.

    Returns:
        [rows], or [rows, size] where it is a list; texts and pictures as a list.
    """
    top, *inner = field.split(".")
    column = _whole(reduce(pc.struct_field, inner, table[top]))
    if _text(column.type):
        return column.fill_null("" if pa.types.is_string(column.type) else b"").to_pylist()
    if not pa.types.is_fixed_size_list(column.type):
        return torch.from_numpy(_numpy(column).copy())
    there = column.is_valid().to_numpy(zero_copy_only=False)
    numbers = _numpy(column.flatten())  # without the lists that are null
    missing = np.nan if np.issubdtype(numbers.dtype, np.floating) else 0
    filled = np.full((len(column), column.type.list_size), missing, numbers.dtype)
    filled[there] = numbers.reshape(-1, column.type.list_size)
    return torch.from_numpy(filled)


def _numbers(name: str, kind: pa.DataType) -> Iterator[str]:
    if pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _numbers(f"{name}.{kind.field(number).name}", kind.field(number).type)
    elif _stacks(kind):
        yield name


def _has(kind: pa.DataType, field: str) -> bool:
    return pa.types.is_struct(kind) and kind.get_field_index(field) >= 0


def _stacks(kind: pa.DataType) -> bool:
    scalar = kind.value_type if pa.types.is_fixed_size_list(kind) else kind
    return pa.types.is_integer(scalar) or pa.types.is_floating(scalar) or pa.types.is_boolean(scalar)


def _text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_binary(kind)


def _numpy(column: pa.Array) -> np.ndarray:
    """Torch has no arithmetic for unsigned integers beyond a byte."""
    kind = column.type
    missing = pa.scalar(float("nan") if pa.types.is_floating(kind) else 0).cast(kind)
    numbers = column.fill_null(missing).to_numpy(zero_copy_only=False)
    return numbers.astype(np.int64) if numbers.dtype.kind == "u" and numbers.itemsize > 1 else numbers


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Of one chunk, that chunk: `combine_chunks` would copy it."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
