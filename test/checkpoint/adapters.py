"""Writes LoRA adapters as PEFT saves them, for models of OpenVLA's names, and merges them by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from omnivla_vision.checkpoint import Checkpoint
from omnivla_vision.checkpoint.huggingface import PREFIXES
from test.checkpoint.writers import Edit, Model, State, openvla_state

# `all-linear` takes the last part of every linear layer's name: the convolution's, which is `proj` too, with them.
ALL_LINEAR = r"\.(qkv|proj|fc\d|q|q_proj)$"


def halves_of(shape: Sequence[int], rank: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B for a weight of a linear layer or of a convolution."""
    a = 0.05 * torch.randn(rank, *shape[1:], generator=generator)
    return a, 0.05 * torch.randn(shape[0], rank, *(1 for _ in shape[2:]), generator=generator)


def write_adapter(
    folder: Path,
    model: Model,
    *,
    rank: int = 4,
    layers: str = ALL_LINEAR,
    saved: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    seed: int = 5,
    edit: Edit | None = None,
) -> tuple[Path, State]:
    """An adapter of the layers that a regular expression finds; `saved` are parameters that are in it whole.

    Returns the folder, and what is in its file, without the prefix of every name.
    """
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, tensor in openvla_state(model).items():
        module = name.removesuffix(".weight")
        if module != name and tensor.dim() in (2, 4) and re.search(layers, module):
            halves = halves_of(tensor.shape, rank, generator)
            state |= {f"{module}.lora_{half}.weight": matrix for half, matrix in zip("AB", halves, strict=True)}
        elif name in saved:
            state[name] = torch.randn(tensor.shape, generator=generator)
    if edit is not None:
        edit(state)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({f"base_model.model.{name}": t for name, t in state.items()}, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 16, "bias": "none", "use_rslora": False} | (config or {})
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder, state


def tensors_of(checkpoint: Checkpoint) -> State:
    """Everything that is executed, under OpenVLA's names."""
    state = {f"projector.{name}": tensor for name, tensor in (checkpoint.projector_state or {}).items()}
    for prefix, spec in zip(PREFIXES, checkpoint.preset.encoders, strict=False):
        for name, tensor in checkpoint.backbone_state.items():
            if name.startswith(ours := f"encoders.{spec.name}."):
                state[prefix + name.removeprefix(ours).replace(".gamma", ".scale_factor")] = tensor
    return state


def merged_by_hand(base: State, adapter: State, scale: float) -> State:
    """In float64; a convolution's A and B are matrices too."""
    merged = {name: adapter.get(name, tensor).double() for name, tensor in base.items()}
    for name, a in adapter.items():
        if name.endswith(".lora_A.weight"):
            b = adapter[name.replace("lora_A", "lora_B")]
            weight = name.replace("lora_A.", "")
            update = torch.einsum("or,ri->oi", b.double().flatten(1), a.double().flatten(1))
            merged[weight] = base[weight].double() + scale * update.view(base[weight].shape)
    return merged


def assert_close(found: State, expected: State) -> None:
    """Within 1e-6 of each tensor's largest value."""
    for name, tensor in found.items():
        error = (tensor.double() - expected[name].double()).abs().max() / expected[name].abs().max()
        assert error <= 1e-6, name
