"""oneDNN's matrix products on weights packed once for this CPU: no compiler, and the fastest engine without a GPU.

torch's own linear layer takes MKL for float32, at half of oneDNN's speed on AMD, and repacks bfloat16 weights on every
call. The products here are true float32 whatever `torch.set_float32_matmul_precision` says, true bfloat16, or int8.
"""

from __future__ import annotations

import platform
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from omnivla_vision.engine import machine
from omnivla_vision.engine.base import EngineSpec, Entry
from omnivla_vision.engine.calibrate import Calibration
from omnivla_vision.engine.fold import folded_shell
from omnivla_vision.engine.graph import Graph
from omnivla_vision.engine.packed import PackedBlock, PackedLinear
from omnivla_vision.engine.packed_int8 import Int8Weights, KeptLinear, PackedInt8Linear
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.vit import Block, VisionTransformer

NAME = "onednn"
PRECISIONS = ("float32", "bfloat16", "int8")
WEIGHTS = "weights.safetensors"


class OneDnnEngine:
    """A backbone whose linear layers are packed."""

    name = NAME
    notice = ""

    def __init__(self, backbone: Backbone, spec: EngineSpec) -> None:
        self.precision = spec.precision
        self.entry: Entry = spec.entry
        self._spec = spec
        self._graph = Graph(backbone, spec, stream_dtype(spec.precision))

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self._spec.check(inputs)
        with torch.inference_mode():
            features: tuple[Tensor, ...] = self._graph(*inputs)
            return features


def stream_dtype(precision: str) -> torch.dtype:
    """What the layers hand to each other. Around int8 products it is float32: the rounding is theirs alone."""
    return torch.float32 if precision == "int8" else getattr(torch, precision)


def half_dtype() -> torch.dtype:
    """What attention, and layers kept out of int8, are computed in beside int8 products."""
    return torch.bfloat16 if machine.has_bfloat16() else torch.float32


def missing(precision: str) -> str:
    """What this machine lacks."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")):
        return "a torch with oneDNN (mkldnn)"
    if platform.machine() not in ("x86_64", "AMD64"):
        return "an x86 CPU: on Arm, torch's linear layer calls the Arm Compute Library by itself (engine eager)"
    if precision == "bfloat16" and not machine.has_bfloat16():
        return "a CPU with bfloat16 instructions (avx512_bf16 or amx_bf16)"
    if precision == "int8" and not machine.has_int8():
        return "a CPU with 8-bit dot products (avx512_vnni, avx_vnni or amx_int8)"
    return ""


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    return {"torch": torch.__version__}


def build(backbone: Backbone, spec: EngineSpec, folder: Path) -> dict[str, Any]:
    """Store the weights in the engine's precision, not packed: oneDNN's layouts are its own affair.

    Returns:
        For int8, `kept_layers`: what is not in int8, by the layer's name with the error that int8 would have made.
    """
    if spec.precision == "int8":
        calibration = Calibration(backbone, half_dtype())
        tensors, notes = calibration.tensors, {"kept_layers": calibration.kept}
    else:
        dtype = stream_dtype(spec.precision)
        tensors, notes = {name: tensor.to(dtype) for name, tensor in backbone.state_dict().items()}, {}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
    return notes


def load(folder: Path, spec: EngineSpec) -> OneDnnEngine:
    """Read and pack the weights layer by layer, so that no second copy of them is ever in memory."""
    backbone = folded_shell(spec.preset)
    # Not mapped into memory: pages of the file would count as this process's for as long as the mapping lives.
    with safe_open(folder / WEIGHTS, framework="pt") as weights:
        for name, encoder in backbone.encoders.items():
            _pack(cast(VisionTransformer, encoder), f"encoders.{name}", spec, weights)
    return OneDnnEngine(backbone.requires_grad_(False), spec)


def _pack(encoder: VisionTransformer, prefix: str, spec: EngineSpec, weights: Any) -> None:
    """Replace an encoder's linear layers by packed ones and its blocks by fused ones; read its other parameters."""
    dtype = stream_dtype(spec.precision)
    rows = spec.images * (encoder.spec.grid.tokens + encoder.spec.prefix_tokens)
    for name, module in list(encoder.named_modules()):
        if isinstance(module, nn.Linear):
            encoder.set_submodule(name, _packed(f"{prefix}.{name}", rows, spec, weights))
    for name, _ in list(encoder.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        parameter = nn.Parameter(weights.get_tensor(f"{prefix}.{name}").clone(), requires_grad=False)
        setattr(encoder.get_submodule(owner), leaf, parameter)
    for index, block in enumerate(encoder.blocks):
        if type(block) is Block:
            encoder.blocks[index] = PackedBlock(block, half_dtype() if spec.precision == "int8" else dtype)


def _packed(path: str, rows: int, spec: EngineSpec, weights: Any) -> nn.Module:
    """One layer from an open file of tensors."""
    if f"{path}.scale" in weights.keys():  # noqa: SIM118 - a file, and not a mapping
        parts = {field.name: weights.get_tensor(f"{path}.{field.name}").clone() for field in fields(Int8Weights)}
        return PackedInt8Linear(Int8Weights(**parts), rows)
    weight, bias = weights.get_tensor(f"{path}.weight"), weights.get_tensor(f"{path}.bias").clone()
    return KeptLinear(weight, bias, rows) if spec.precision == "int8" else PackedLinear(weight, bias, rows)
