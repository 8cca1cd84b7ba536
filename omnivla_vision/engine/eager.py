"""The network as it is written, run by torch without a compiler: the reference in float32, also on a GPU."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from omnivla_vision.engine import machine
from omnivla_vision.engine.base import EngineSpec, Entry
from omnivla_vision.engine.fold import folded_shell
from omnivla_vision.engine.graph import Graph
from omnivla_vision.network.backbone import Backbone

NAME = "eager"
PRECISIONS = ("float32", "bfloat16", "float16")
WEIGHTS = "weights.safetensors"


class EagerEngine:
    """Runs a backbone where its weights are. Takes any number of images, and either entry."""

    name = NAME
    notice = ""

    def __init__(self, backbone: Backbone, spec: EngineSpec | None = None) -> None:
        parameter = next(backbone.parameters())
        self.precision = str(parameter.dtype).removeprefix("torch.")
        self.entry: Entry = "stack" if spec is None else spec.entry
        self._spec = spec or EngineSpec(preset=backbone.preset, precision=self.precision, entry=self.entry)
        self._device = parameter.device
        self._graph = Graph(backbone, self._spec, parameter.dtype).to(self._device).eval()

    def __call__(self, inputs: tuple[Tensor, ...]) -> Tensor:
        with torch.inference_mode():
            return self._graph(*(tensor.to(self._device) for tensor in inputs)).cpu()


def missing(precision: str) -> str:
    """What this machine lacks."""
    if precision == "bfloat16" and not torch.cuda.is_available() and not machine.has_bfloat16():
        return "a CPU with bfloat16 instructions (avx512_bf16 or amx_bf16), or a GPU"
    if precision == "float16" and not torch.cuda.is_available():
        return "a GPU: torch computes float16 on the CPU, but tens of times slower than float32"
    return ""


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    return {"torch": torch.__version__}


def build(backbone: Backbone, spec: EngineSpec, folder: Path) -> None:
    """Store the weights in the engine's precision."""
    dtype = getattr(torch, spec.precision)
    save_file({name: tensor.to(dtype).contiguous() for name, tensor in backbone.state_dict().items()}, folder / WEIGHTS)


def load(folder: Path, spec: EngineSpec) -> EagerEngine:
    """Read the weights, to the GPU if there is one."""
    backbone = folded_shell(spec.preset)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone.load_state_dict(load_file(folder / WEIGHTS, device=device), assign=True)
    return EagerEngine(backbone.requires_grad_(False), spec)
