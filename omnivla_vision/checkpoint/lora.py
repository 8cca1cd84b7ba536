"""LoRA weights beside the layers they adapt: W = base + scale * B @ A, merged when the tensor is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnivla_vision.checkpoint.errors import ConfigError, LoraError
from omnivla_vision.checkpoint.json_file import read_json
from omnivla_vision.checkpoint.stored import Source, StoredTensor, byte_view

_BASE, _A, _B = ".base_layer.", ".lora_A.default.", ".lora_B.default."
ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class LoraScale:
    """What B @ A is multiplied with: `alpha / r`, or `alpha / sqrt(r)` for rank-stabilized LoRA. `r` None: not said."""

    alpha: float
    r: int | None = None
    rank_stabilized: bool = False

    def of(self, rank: int) -> float:
        """The factor for matrices of this rank."""
        return self.alpha / (math.sqrt(rank) if self.rank_stabilized else rank)


@dataclass(frozen=True, kw_only=True)
class MergedTensor:
    """A weight with its adapter. Merged in float32, then rounded once."""

    base: StoredTensor
    a: StoredTensor
    b: StoredTensor
    scale: float

    @property
    def file(self) -> Path:
        """See `Source`."""
        return self.base.file

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
        base, a, b = (tensor.read(lambda _: None).float() for tensor in (self.base, self.a, self.b))
        merged = torch.addmm(base, b, a, alpha=self.scale)
        if not bool(merged.isfinite().all()):
            raise self.base.non_finite("NaN or Inf after merging LoRA")
        consume(byte_view(merged.to(self.dtype)))
        return merged


def merge_lora(tensors: Mapping[str, StoredTensor], scale: LoraScale | None, file: Path) -> dict[str, Source]:
    """Pair every adapted layer with its adapter; the names lose PEFT's infixes.

    Raises:
        LoraError: half of an adapter is missing, the ranks differ from the configured one, or the scale is unknown.
    """
    merged: dict[str, Source] = {}
    for name, tensor in tensors.items():
        if _A in name or _B in name:
            base = name.replace(_A, _BASE).replace(_B, _BASE)
            if base not in tensors:
                raise _incomplete(file, name, base)
        elif _BASE in name:
            halves = [tensors.get(name.replace(_BASE, half)) for half in (_A, _B)]
            if name.endswith(".weight") and None in halves:
                raise _incomplete(file, name, name.replace(_BASE, _A if halves[0] is None else _B))
            a, b = halves
            merged[name.replace(_BASE, ".")] = tensor if a is None or b is None else _merge(tensor, a, b, scale)
        else:
            merged[name] = tensor
    return merged


def _merge(base: StoredTensor, a: StoredTensor, b: StoredTensor, scale: LoraScale | None) -> MergedTensor:
    if scale is None:
        raise LoraError(
            base.file,
            key=a.key,
            found=f"LoRA weights, and no {ADAPTER_CONFIG} beside the file",
            expected="their alpha",
            advice="give it (--lora-alpha; OpenVLA-OFT takes min(rank, 16)), or put the lora_adapter folder there",
        )
    rank = a.shape[0]
    if len(base.shape) != 2 or a.shape != (rank, base.shape[1]) or b.shape != (base.shape[0], rank):
        raise LoraError(
            base.file,
            key=a.key,
            found=f"A {list(a.shape)} and B {list(b.shape)} for a weight {list(base.shape)}",
            expected="[r, inputs] and [outputs, r]",
            advice="the checkpoint is inconsistent; take another one",
        )
    if scale.r not in (None, rank):
        raise LoraError(
            base.file,
            key=a.key,
            found=f"rank {rank}",
            expected=f"r = {scale.r}, as {ADAPTER_CONFIG} says",
            advice=f"the {ADAPTER_CONFIG} belongs to another checkpoint; remove it and give --lora-alpha",
        )
    return MergedTensor(base=base, a=a, b=b, scale=scale.of(rank))


def _incomplete(file: Path, found: str, expected: str) -> LoraError:
    return LoraError(file, key=found, found="it alone", expected=f"{expected} too", advice="the file is incomplete")


def read_scale(folder: Path, alpha: float | None) -> LoraScale | None:
    """The scale from `alpha`, or from PEFT's adapter_config.json in the folder or in its lora_adapter subfolder.

    Raises:
        ConfigError: the file is broken, describes something that is not plain LoRA, or contradicts `alpha`.
    """
    file = next((f for f in (folder / "lora_adapter" / ADAPTER_CONFIG, folder / ADAPTER_CONFIG) if f.is_file()), None)
    if file is None:
        return None if alpha is None else LoraScale(alpha)
    config: dict[str, Any] = read_json(file)
    for key in ("use_dora", "rank_pattern", "alpha_pattern"):
        if config.get(key):
            raise ConfigError(
                file, key=key, found=f"{config[key]}", expected="plain LoRA", advice="merge with PEFT, then load"
            )
    found, r = config.get("lora_alpha"), config.get("r")
    if not isinstance(found, (int, float)) or not isinstance(r, int) or r <= 0:
        raise ConfigError(
            file, found=f"lora_alpha {found!r}, r {r!r}", expected="two numbers", advice="restore it, or remove it"
        )
    if alpha not in (None, found):
        raise ConfigError(
            file, key="lora_alpha", found=f"{found}", expected=f"{alpha}, as given", advice="give no alpha"
        )
    return LoraScale(float(found), r, bool(config.get("use_rslora", False)))
