"""What an engine is, what builds one, and the reasons for which one is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from omnivla_vision.errors import VisionError
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset

# What the engine is fed: normalized float32 stacks, or resized pixels that its graph normalizes.
Entry = Literal["stack", "uint8"]
# mixed: products in float16, everything between them in float32.
PRECISIONS = ("float32", "bfloat16", "float16", "mixed", "int8")


class EngineError(VisionError):
    """Base of the reasons for which an engine is not used."""


class UnknownEngineError(EngineError):
    """The engine's name, or its precision, is not in the table."""


class EngineUnavailableError(EngineError):
    """The engine cannot run on this machine; the message names what is missing."""


class EngineFailedError(EngineError):
    """A library could not build or start the engine; the message is the library's."""


class EngineInputError(EngineError):
    """The tensors given to an engine are not those that it was built for."""


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """What to build: `images` is the batch that the engine takes, always the same one."""

    preset: Preset
    precision: str
    images: int = 1
    entry: Entry = "uint8"

    @property
    def input_shapes(self) -> tuple[tuple[int, int, int, int], ...]:
        """[B, C, H, W] of each input tensor: three channels of pixels, or three per encoder that shares them."""
        return tuple(
            (self.images, 3 if self.entry == "uint8" else 3 * len(inputs.encoders), *inputs.size)
            for inputs in self.preset.inputs
        )

    @property
    def input_dtype(self) -> torch.dtype:
        """Of every input tensor."""
        return torch.uint8 if self.entry == "uint8" else torch.float32

    def check(self, inputs: Sequence[Tensor]) -> None:
        """Compare input tensors with what was built.

        Raises:
            EngineInputError: another number of tensors, shape or dtype.
        """
        found = [(tuple(tensor.shape), tensor.dtype) for tensor in inputs]
        expected = [(shape, self.input_dtype) for shape in self.input_shapes]
        if found != expected:
            raise EngineInputError(
                f"found input tensors {_describe(found)}; this engine was built for {_describe(expected)}; build one "
                "for that number of images and that entry"
            )


class Engine(Protocol):
    """Runs a preset's backbone on images.

    Attributes:
        name: e.g. "onednn".
        precision: what the matrix products really run in, e.g. "bfloat16".
        entry: which input tensors it takes, "stack" or "uint8".
        notice: empty, or why this is not what was asked for.
    """

    name: str
    precision: str
    entry: Entry
    notice: str

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Encode one [B, C, H, W] tensor per input size -> one float32 [B, rows, width] per encoder, on the CPU.

        Raises:
            EngineInputError: not the tensors that the engine was built for.
        """
        ...


class Backend(Protocol):
    """A kind of engine; each module of that kind in this package is one.

    Attributes:
        NAME: what the user calls it.
        PRECISIONS: what it can be built in, where the machine can run it.
    """

    @property
    def NAME(self) -> str: ...  # noqa: N802
    @property
    def PRECISIONS(self) -> tuple[str, ...]: ...  # noqa: N802

    def missing(self, precision: str) -> str:
        """Empty if this machine can run the engine in that precision; otherwise what it lacks."""
        ...

    def versions(self) -> dict[str, str]:
        """The libraries whose versions the built files depend on."""
        ...

    def build(self, backbone: Backbone, spec: EngineSpec, folder: Path) -> dict[str, Any] | None:
        """Write everything that `load` needs into an empty folder. `backbone` is float32, folded, and may be changed.

        Returns:
            What the manifest should say of it, if anything.
        """
        ...

    def load(self, folder: Path, spec: EngineSpec) -> Engine:
        """Start the engine from the files that `build` wrote; they have been checked."""
        ...


def _describe(tensors: Sequence[tuple[tuple[int, ...], torch.dtype]]) -> str:
    return ", ".join(f"{str(dtype).removeprefix('torch.')} {list(shape)}" for shape, dtype in tensors) or "none"
