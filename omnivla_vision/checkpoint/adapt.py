"""A LoRA adapter over the weights of a checkpoint: which of its tensors belong to what is executed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from omnivla_vision.checkpoint.adapter_folder import Adapter
from omnivla_vision.checkpoint.contents import Contents, refuse_film, timm_name
from omnivla_vision.checkpoint.errors import LoraError
from omnivla_vision.checkpoint.huggingface import PREFIXES, PROJECTOR, VISION
from omnivla_vision.checkpoint.joined import JoinedTensor
from omnivla_vision.checkpoint.lora import merge
from omnivla_vision.checkpoint.plan import is_behind
from omnivla_vision.checkpoint.stored import Source, StoredTensor, byte_view
from omnivla_vision.network.backbone import backbone_shell
from omnivla_vision.network.spec import Preset

# FiLM's own layers are not in PEFT's file: its wrapper around every block tells.
_FILM_WRAPPER = re.compile(r"blocks\.\d+\.block\.")


@dataclass(frozen=True, kw_only=True)
class SavedTensor:
    """A tensor that was trained and saved whole, in place of the base's, in the base's number format."""

    tensor: StoredTensor
    dtype: torch.dtype

    @property
    def file(self) -> Path:
        """See `Source`."""
        return self.tensor.file

    @property
    def files(self) -> tuple[Path, ...]:
        """See `Source`."""
        return (self.tensor.file,)

    @property
    def key(self) -> str:
        """See `Source`."""
        return self.tensor.key

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Source`."""
        return self.tensor.shape

    def read(self, consume: Callable[[memoryview], None]) -> Tensor:
        """See `Source`; in the number format of its file."""
        tensor = self.tensor.read(lambda _: None)
        consume(byte_view(tensor.to(self.dtype)))
        return tensor


def adapt(contents: Contents, adapter: Adapter, preset: Preset) -> tuple[Contents, tuple[str, ...]]:
    """Put an adapter, whose names are those of OpenVLA's and OmniVLA's classes, over a checkpoint of any format.

    Returns:
        The contents, in which adapted tensors are merged when they are read; and, one phrase per part of the model,
        what of the adapter is not executed.

    Raises:
        LoraError: a layer that the base does not have, or has merged already; or shapes that do not fit.
        FilmError: the adapter is of a model whose vision is conditioned on the prompt.
    """
    base = _Base.of(contents, adapter, preset)
    ignored: Counter[str] = Counter()
    touched = 0
    for name, tensor in adapter.saved.items():
        if place := base.place(name, tensor, ignored):
            place.tensors[place.name] = SavedTensor(tensor=tensor, dtype=place.stored.dtype)
            touched += 1
    for module, (a, b) in adapter.layers.items():
        if place := base.place(f"{module}.weight", a, ignored):
            place.tensors[place.name] = merge(module, place.stored, a, b, adapter.config)
            touched += 1
    warnings = () if touched else (f"{adapter.folder} adapts nothing that is executed: the tokens are the base's",)
    adapted = replace(
        contents, encoders=base.encoders, projector=base.projector, warnings=(*contents.warnings, *warnings)
    )
    return adapted, tuple(f"{part} ({count} weights)" for part, count in ignored.items())


@dataclass(frozen=True)
class _Place:
    """Where a tensor of the adapter belongs, and what the base has there."""

    tensors: dict[str, Source]
    name: str
    stored: StoredTensor


@dataclass(frozen=True, kw_only=True)
class _Base:
    """The checkpoint's tensors, to be replaced one by one."""

    adapter: Adapter
    preset: Preset
    encoders: tuple[dict[str, Source], ...]
    projector: dict[str, Source]
    executed: frozenset[str]

    @classmethod
    def of(cls, contents: Contents, adapter: Adapter, preset: Preset) -> _Base:
        return cls(
            adapter=adapter,
            preset=preset,
            encoders=tuple(dict(encoder) for encoder in contents.encoders),
            projector=dict(contents.projector),
            executed=frozenset(backbone_shell(preset).state_dict()),
        )

    def place(self, name: str, tensor: StoredTensor, ignored: Counter[str]) -> _Place | None:
        """None for what does not run; `ignored` then counts it."""
        if name.startswith(VISION):
            return self._in_encoder(name, tensor, ignored)
        if name.startswith(PROJECTOR) and self.projector:
            return self._place(self.projector, name.removeprefix(PROJECTOR), tensor)
        ignored[f"{name.partition('.')[0]}.*"] += 1
        return None

    def _in_encoder(self, name: str, tensor: StoredTensor, ignored: Counter[str]) -> _Place | None:
        refuse_film(tensor.file, tensor.key)
        refuse_film(tensor.file, tensor.key, _FILM_WRAPPER)
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
        number = PREFIXES.get(prefix, len(self.encoders))
        if number >= len(self.encoders):
            raise self._foreign(tensor)
        if number >= len(self.preset.encoders):
            return None  # the plan refuses this preset
        spec, local = self.preset.encoders[number], timm_name(name.removeprefix(prefix))
        if f"encoders.{spec.name}.{local}" not in self.executed and is_behind(spec, local):
            ignored[f"{prefix}* behind the tokens"] += 1
            return None
        return self._place(self.encoders[number], local, tensor)

    def _place(self, tensors: dict[str, Source], name: str, tensor: StoredTensor) -> _Place:
        stored = tensors.get(name)
        if stored is None:
            raise self._foreign(tensor)
        if isinstance(stored, JoinedTensor):
            raise LoraError(
                tensor.file,
                key=tensor.key,
                found=f"an adapter for a tensor that is several in {stored.file.name}",
                expected="a base under the names of OpenVLA's classes, whose adapters these are",
                advice="give no adapter, or the folder of the base model",
            )
        if not isinstance(stored, StoredTensor):
            raise LoraError(
                tensor.file,
                key=tensor.key,
                found=f"an adapter for {stored.key} in {stored.file.name}, which is adapted there already",
                expected="the base's weights",
                advice="give no adapter, or the folder of the base model",
            )
        return _Place(tensors, name, stored)

    def _foreign(self, tensor: StoredTensor) -> LoraError:
        named = f" (adapter_config.json names {base})" if (base := self.adapter.config.base_model) else ""
        return LoraError(
            tensor.file,
            key=tensor.key,
            found="it, and nothing of that name in the checkpoint",
            expected="an adapter of this model",
            advice=f"give the checkpoint that was adapted{named}",
        )
