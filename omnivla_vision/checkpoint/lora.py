"""LoRA weights and the layers they adapt: W = base + scale * B @ A, merged when the tensor is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from omnivla_vision.checkpoint.errors import LoraError
from omnivla_vision.checkpoint.lora_config import ADAPTER_CONFIG, LoraConfig, read_config
from omnivla_vision.checkpoint.stored import Source, StoredTensor, byte_view

_BASE, _A, _B = ".base_layer.", ".lora_A.default.", ".lora_B.default."


@dataclass(frozen=True, kw_only=True)
class MergedTensor:
    """The weight of a linear layer or of a convolution with its adapter. Merged in float32, then rounded once.

    Attributes:
        base: [outputs, inputs], or [outputs, inputs, height, width].
        a: [r, inputs], or [r, inputs, height, width].
        b: [outputs, r], or [outputs, r, 1, 1].
        alpha: for people; `scale` is made of it.
        scale: what B @ A is multiplied with.
    """

    base: StoredTensor
    a: StoredTensor
    b: StoredTensor
    alpha: float
    scale: float

    @property
    def file(self) -> Path:
        """See `Source`."""
        return self.base.file

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Source`."""
        return (self.base.file, self.a.file, self.b.file)

    @property
    def key(self) -> str:
        """See `Source`."""
        return self.base.key

    @property
    def dtype(self) -> torch.dtype:
        """The base's: what a merged checkpoint would store."""
        return self.base.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Source`."""
        return self.base.shape

    def read(self, consume: Callable[[memoryview], None]) -> Tensor:
        """See `Source`; float32."""
        # A convolution is a product over its window's pixels, and B's window is one pixel.
        base, a, b = (tensor.read(lambda _: None).float().flatten(1) for tensor in (self.base, self.a, self.b))
        merged = torch.addmm(base, b, a, alpha=self.scale).view(self.shape)
        if not bool(merged.isfinite().all()):
            raise self.a.non_finite("NaN or Inf after merging LoRA")
        consume(byte_view(merged.to(self.dtype)))
        return merged


def merge(module: str, base: StoredTensor, a: StoredTensor, b: StoredTensor, config: LoraConfig) -> MergedTensor:
    """A weight with its adapter; `module` is the layer's name in the whole model.

    Raises:
        LoraError: the shapes do not fit, or the rank is not the configured one.
    """
    rank = a.shape[0] if a.shape else 0
    window = base.shape[2:]
    fits = a.shape == (rank, *base.shape[1:]) and b.shape == (*base.shape[:1], rank, *(1 for _ in window))
    if len(base.shape) not in (2, 4) or not fits or not rank:
        raise LoraError(
            a.file,
            key=a.key,
            found=f"A {list(a.shape)} and B {list(b.shape)} for a weight {list(base.shape)}",
            expected="[r, inputs] and [outputs, r], or [r, inputs, height, width] and [outputs, r, 1, 1]",
            advice="adapter and base are of different models; take both from one",
        )
    alpha = config.alpha_of(module, a)
    return MergedTensor(base=base, a=a, b=b, alpha=alpha, scale=config.factor(rank, alpha))


def merge_lora(
    tensors: Mapping[str, StoredTensor], config: LoraConfig | None, file: Path, *, prefix: str
) -> dict[str, Source]:
    """Pair every adapted layer of a `.pt` file with its adapter; the names lose PEFT's infixes.

    Args:
        tensors: by name.
        config: the adapter's; None if nothing is known of it.
        file: for error messages.
        prefix: what the whole model puts before the names.

    Raises:
        LoraError: half of an adapter is missing, the scale is unknown, or any of the reasons of `merge`.
    """
    merged: dict[str, Source] = {}
    for name, tensor in tensors.items():
        if _A in name or _B in name:
            base = name.replace(_A, _BASE).replace(_B, _BASE)
            if base not in tensors:
                raise incomplete(file, name, base)
        elif _BASE in name:
            halves = [tensors.get(name.replace(_BASE, half)) for half in (_A, _B)]
            if name.endswith(".weight") and None in halves:
                raise incomplete(file, name, name.replace(_BASE, _A if halves[0] is None else _B))
            a, b = halves
            if a is None or b is None:
                merged[name.replace(_BASE, ".")] = tensor
                continue
            if config is None:
                raise _unknown(file, a.key)
            merged[name.replace(_BASE, ".")] = merge(prefix + name.partition(_BASE)[0], tensor, a, b, config)
        else:
            merged[name] = tensor
    return merged


def incomplete(file: Path, found: str, expected: str) -> LoraError:
    """The refusal of half an adapter."""
    return LoraError(file, key=found, found="it alone", expected=f"{expected} too", advice="the file is incomplete")


def _unknown(file: Path, key: str) -> LoraError:
    return LoraError(
        file,
        key=key,
        found=f"LoRA weights, and no {ADAPTER_CONFIG} beside the file",
        expected="their alpha",
        advice="give it (--lora-alpha; OpenVLA-OFT takes min(rank, 16)), or put the lora_adapter folder there",
    )


def config_beside(folder: Path, alpha: float | None) -> LoraConfig | None:
    """What is known of the LoRA weights in a folder's `.pt` file: PEFT's configuration in the folder or in its
    lora_adapter subfolder, or `alpha`, or nothing.

    Raises:
        ConfigError, UnsupportedAdapterError: as `read_config`.
    """
    file = next((f for f in (folder / "lora_adapter" / ADAPTER_CONFIG, folder / ADAPTER_CONFIG) if f.is_file()), None)
    if file is not None:
        return read_config(file, alpha)
    return None if alpha is None else LoraConfig(alpha=alpha)
