"""A message's outputs by name: what it says of each, with every number checked against the others and the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.network.outputs import UnknownPoolingError, get_pooling
from omnivla_vision.tokens.packing import TensorFields, TokenFormatError, unpack, unpack_torch

if TYPE_CHECKING:
    import torch


class OutputDescriptionError(TokenFormatError):
    """What is said of the outputs does not fit together, or not to the tensor."""


class OutputFields(Protocol):
    """What a TokenOutput message says, and a file's description of an output."""

    @property
    def name(self) -> str: ...
    @property
    def pooling(self) -> str: ...
    @property
    def image_names(self) -> Sequence[str]: ...
    @property
    def tokens_per_image(self) -> int: ...
    @property
    def grid_height(self) -> int: ...
    @property
    def grid_width(self) -> int: ...
    @property
    def segment_names(self) -> Sequence[str]: ...
    @property
    def segment_widths(self) -> Any: ...


class OutputsMessage(TensorFields, Protocol):
    """A VisualTokens message of any library: rclpy's, rosbags', mcap's."""

    @property
    def image_names(self) -> Sequence[str]: ...
    @property
    def tokens_per_image(self) -> int: ...
    @property
    def grid_height(self) -> int: ...
    @property
    def grid_width(self) -> int: ...
    @property
    def segment_names(self) -> Sequence[str]: ...
    @property
    def segment_widths(self) -> Any: ...
    @property
    def outputs(self) -> Sequence[OutputFields]: ...


def unpack_outputs(message: OutputsMessage) -> dict[str, NDArray[np.floating]]:
    """Every output's tokens by name, [images, tokens, width]; float16 and float32 without a copy, as in `unpack`.

    Raises:
        OutputDescriptionError: the outputs' names, grids, widths and sizes do not add up.
        TokenFormatError: the tensor itself is refused; see `unpack`.
    """
    flat = unpack(message).reshape(-1)
    return {name: flat[start:stop].reshape(shape) for name, start, stop, shape in _places(message)}


def unpack_outputs_torch(message: OutputsMessage) -> dict[str, torch.Tensor]:
    """Like `unpack_outputs`, as torch CPU tensors in the packed dtype, as `unpack_torch` makes them."""
    flat = unpack_torch(message).reshape(-1)
    return {name: flat[start:stop].reshape(shape) for name, start, stop, shape in _places(message)}


def output_shape(output: OutputFields) -> tuple[int, int, int]:
    """Images, tokens of each, features of each.

    Raises:
        OutputDescriptionError: the numbers, or the names, do not fit together.
    """
    tokens, grid = int(output.tokens_per_image), (int(output.grid_height), int(output.grid_width))
    names, widths = list(output.segment_names), [int(width) for width in output.segment_widths]
    if tokens != grid[0] * grid[1] or tokens < 1:
        raise OutputDescriptionError(
            f"output {output.name!r}: found {tokens} tokens per image in a grid of {grid[0]}x{grid[1]}; expected "
            "one for each of its places; the message is broken"
        )
    if len(names) != len(widths) or not widths or min(widths) < 1:
        raise OutputDescriptionError(
            f"output {output.name!r}: found columns {names} of {widths}; expected a width for each; the message "
            "is broken"
        )
    try:
        get_pooling(output.pooling)
    except UnknownPoolingError as error:
        raise OutputDescriptionError(f"output {output.name!r}: {error}") from error
    return len(output.image_names), tokens, sum(widths)


def _places(message: OutputsMessage) -> Iterator[tuple[str, int, int, tuple[int, int, int]]]:
    """Each output's name, where its numbers begin and end, and their shape, of a tensor that has as many as it says."""
    outputs = list(message.outputs)
    names = [output.name for output in outputs]
    if not names or not all(names) or len(set(names)) < len(names):
        raise OutputDescriptionError(f"found outputs named {names}; expected one or more different names")
    shapes = [output_shape(output) for output in outputs]
    _check_first(message, outputs[0])
    rows, widths = sum(images * tokens for images, tokens, _ in shapes), {width for *_, width in shapes}
    total = sum(images * tokens * width for images, tokens, width in shapes)
    expected = [rows, *widths] if len(widths) == 1 else [total]
    if [int(size) for size in message.shape] != expected:
        described = ", ".join(f"{name} {list(shape)}" for name, shape in zip(names, shapes, strict=True))
        raise OutputDescriptionError(
            f"found a tensor {list(message.shape)} for outputs {described}; expected {expected}; the message is broken"
        )
    start = 0
    for name, shape in zip(names, shapes, strict=True):
        stop = start + shape[0] * shape[1] * shape[2]
        yield name, start, stop, shape
        start = stop


def _check_first(message: OutputsMessage, first: OutputFields) -> None:
    """What a message says without a name is of its first output."""
    for field in ("image_names", "tokens_per_image", "grid_height", "grid_width", "segment_names", "segment_widths"):
        own, its = getattr(message, field), getattr(first, field)
        if np.ndim(own) != np.ndim(its) or list(np.atleast_1d(own)) != list(np.atleast_1d(its)):
            raise OutputDescriptionError(
                f"found {field} {own} of the message and {its} of its first output {first.name!r}; expected the same; "
                "the message is broken"
            )
