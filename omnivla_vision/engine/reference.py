"""What the tokens of the fixed images should be, how their channels lie, and what bfloat16 would make of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from omnivla_vision.engine.parity_images import parity_images
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.tokens.channels import Channels
from omnivla_vision.tokens.difference import Difference, difference

Array = NDArray[np.float32]

FILE = "reference.safetensors"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The float32 network on the fixed images, and the yardstick of every other precision.

    Attributes:
        tokens: of each encoder, float32 [images, rows, width].
        channels: of each encoder, over all of the images.
        bfloat16: what plain torch in bfloat16, which is what OpenVLA and OmniVLA run, loses on the same weights and
            images; one per encoder.
    """

    tokens: tuple[Array, ...]
    channels: tuple[Channels, ...]
    bfloat16: tuple[Difference, ...]

    def compare(self, tokens: Sequence[Array], images: Sequence[int]) -> tuple[Difference, ...]:
        """Measure each encoder's tokens by itself.

        Args:
            tokens: of each encoder, float32 [len(images), rows, width].
            images: which of the fixed images they are of.
        """
        reference = [theirs[list(images)] for theirs in self.tokens]
        return compare(tokens, reference, self.channels, [entry.encoder for entry in self.bfloat16])

    def save(self, folder: Path) -> None:
        """Write FILE into a bundle's folder."""
        arrays: dict[str, NDArray[Any]] = {}
        for place, (tokens, channels) in enumerate(zip(self.tokens, self.channels, strict=True)):
            arrays |= {f"{place}.{name}": array for name, array in {"tokens": tokens, **vars(channels)}.items()}
        save_file(arrays, folder / FILE, {"bfloat16": json.dumps([asdict(entry) for entry in self.bfloat16])})

    @classmethod
    def load(cls, folder: Path) -> Reference:
        """Read FILE from a bundle's folder, which has been checked."""
        with safe_open(folder / FILE, "np") as file:
            bfloat16 = tuple(Difference(**entry) for entry in json.loads(file.metadata()["bfloat16"]))
            places = range(len(bfloat16))
            return cls(
                tokens=tuple(file.get_tensor(f"{place}.tokens") for place in places),
                channels=tuple(
                    Channels(**{field.name: file.get_tensor(f"{place}.{field.name}") for field in fields(Channels)})
                    for place in places
                ),
                bfloat16=bfloat16,
            )


def compute_reference(backbone: Backbone) -> Reference:
    """Run the network as it is written, in float32 and in bfloat16's arithmetic."""
    tokens = _tokens(backbone)
    rounded = _tokens(backbone, Bfloat16Arithmetic())
    names = [spec.name for spec in backbone.preset.encoders]
    channels = tuple(Channels.of(theirs, bfloat16=ours) for theirs, ours in zip(tokens, rounded, strict=True))
    return Reference(tokens=tokens, channels=channels, bfloat16=compare(rounded, tokens, channels, names))


def compare(
    tokens: Sequence[Array], reference: Sequence[Array], channels: Sequence[Channels], encoders: Sequence[str]
) -> tuple[Difference, ...]:
    """Measure each encoder's [images, rows, width] tokens against a reference's."""
    return tuple(
        difference(encoder, ours, theirs, entry)
        for encoder, ours, theirs, entry in zip(encoders, tokens, reference, channels, strict=True)
    )


class Bfloat16Arithmetic(TorchDispatchMode):
    """float32 operations give what torch's bfloat16 ones do: operands and results are rounded, sums are not.

    It needs neither a CPU with bfloat16 instructions, without which torch takes minutes, nor a second copy of the
    weights; the loss differs from that of the real operations by less than a hundredth (tested where they are fast).
    """

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _round(func(*_round(args), **_round(dict(kwargs or {}))))


def _round(tree: Any) -> Any:
    return tree_map_only(Tensor, lambda x: x.bfloat16().float() if x.dtype == torch.float32 else x, tree)


def _tokens(backbone: Backbone, arithmetic: AbstractContextManager[Any] | None = None) -> tuple[Array, ...]:
    """Of each encoder, float32 [images, rows, width]."""
    preprocess = Preprocessor(backbone.preset)
    tokens = []
    # One at a time: a batch of all of them would need several hundred megabytes of activations.
    for image in parity_images():
        stacks = preprocess([image])
        # Not inference_mode, in which a dispatch mode is not asked.
        with torch.no_grad(), arithmetic or nullcontext():
            tokens.append(backbone(*stacks))
    return tuple(torch.cat(parts).numpy() for parts in zip(*tokens, strict=True))
