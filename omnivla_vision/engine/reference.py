"""What the tokens of the fixed images should be, how their channels lie, and what bfloat16 would make of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
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
from omnivla_vision.network.spec import Preset
from omnivla_vision.tokens.channels import Channels
from omnivla_vision.tokens.difference import Difference, difference

FILE = "reference.safetensors"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The float32 network on the fixed images, and the yardstick of every other precision.

    Attributes:
        tokens: float32 [images, tokens_per_image, width].
        channels: of each encoder, over all of the images.
        bfloat16: what plain torch in bfloat16, which is what OpenVLA and OmniVLA run, loses on the same weights and
            images; one per encoder.
    """

    tokens: NDArray[np.float32]
    channels: tuple[Channels, ...]
    bfloat16: tuple[Difference, ...]

    def compare(self, tokens: NDArray[np.float32], images: Sequence[int]) -> tuple[Difference, ...]:
        """Measure each encoder's tokens by itself.

        Args:
            tokens: float32 [len(images), tokens_per_image, width].
            images: which of the fixed images they are of.
        """
        return compare(tokens, self.tokens[list(images)], self.channels, [entry.encoder for entry in self.bfloat16])

    def save(self, folder: Path) -> None:
        """Write FILE into a bundle's folder."""
        arrays = {"tokens": self.tokens}
        for name in ("mean", "scale", "error"):
            arrays[name] = np.concatenate([getattr(channels, name) for channels in self.channels])
        widths = [len(channels.mean) for channels in self.channels]
        metadata = {"bfloat16": json.dumps([asdict(entry) for entry in self.bfloat16]), "widths": json.dumps(widths)}
        save_file(arrays, folder / FILE, metadata)

    @classmethod
    def load(cls, folder: Path) -> Reference:
        """Read FILE from a bundle's folder, which has been checked."""
        with safe_open(folder / FILE, "np") as file:
            metadata = file.metadata()
            ends = np.cumsum(json.loads(metadata["widths"]))[:-1]
            parts = {name: np.split(file.get_tensor(name), ends) for name in ("mean", "scale", "error")}
            return cls(
                tokens=file.get_tensor("tokens"),
                channels=tuple(
                    Channels(mean=mean, scale=scale, error=error)
                    for mean, scale, error in zip(*parts.values(), strict=True)
                ),
                bfloat16=tuple(Difference(**entry) for entry in json.loads(metadata["bfloat16"])),
            )


def compute_reference(backbone: Backbone) -> Reference:
    """Run the network as it is written, in float32 and in bfloat16's arithmetic."""
    preset = backbone.preset
    tokens = _tokens(backbone)
    rounded = _tokens(backbone, Bfloat16Arithmetic())
    names = [spec.name for spec in preset.encoders]
    channels = tuple(
        Channels.of(theirs, bfloat16=ours)
        for theirs, ours in zip(_segments(tokens, preset), _segments(rounded, preset), strict=True)
    )
    return Reference(tokens=tokens, channels=channels, bfloat16=compare(rounded, tokens, channels, names))


def compare(
    tokens: NDArray[np.float32], reference: NDArray[np.float32], channels: Sequence[Channels], encoders: Sequence[str]
) -> tuple[Difference, ...]:
    """Measure [images, tokens_per_image, width] tokens against a reference's, each encoder's columns by themselves."""
    ends = np.cumsum([len(entry.mean) for entry in channels])[:-1]
    parts = (np.split(array, ends, axis=-1) for array in (tokens, reference))
    return tuple(
        difference(encoder, ours, theirs, entry)
        for encoder, ours, theirs, entry in zip(encoders, *parts, channels, strict=True)
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


def _tokens(backbone: Backbone, arithmetic: AbstractContextManager[Any] | None = None) -> NDArray[np.float32]:
    """float32 [images, tokens_per_image, width]."""
    preprocess = Preprocessor(backbone.preset)
    tokens = []
    # One at a time: a batch of all of them would need several hundred megabytes of activations.
    for image in parity_images():
        stacks = preprocess([image])
        # Not inference_mode, in which a dispatch mode is not asked.
        with torch.no_grad(), arithmetic or nullcontext():
            tokens.append(backbone(*stacks).numpy())
    return np.concatenate(tokens)


def _segments(tokens: NDArray[np.float32], preset: Preset) -> list[NDArray[np.float32]]:
    return np.split(tokens, np.cumsum([spec.width for spec in preset.encoders])[:-1], axis=-1)
