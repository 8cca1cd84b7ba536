"""The network as it is written, run by torch's own kernels without a compiler: the reference in float32, also on a GPU.

On a GPU the lower precisions are recorded once as a CUDA graph: several hundred launches per image would take longer
than the kernels. NOT YET RUN ON A GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from omnivla_vision.engine import machine
from omnivla_vision.engine.base import EngineSpec, Entry
from omnivla_vision.engine.cuda_graph import CudaGraph
from omnivla_vision.engine.fold import folded_shell
from omnivla_vision.engine.graph import Graph, example_inputs, typed_graph
from omnivla_vision.network.backbone import Backbone

NAME = "eager"
PRECISIONS = ("float32", "bfloat16", "float16", "mixed")
WEIGHTS = "weights.safetensors"


class EagerEngine:
    """Runs a backbone where its weights are, with either entry; in float32 on stacks if no `spec` says otherwise.

    Attributes:
        fixed_images: whether it is a CUDA graph, which takes only as many images as it was recorded for.
    """

    name = NAME
    notice = ""

    def __init__(self, backbone: Backbone, spec: EngineSpec | None = None) -> None:
        stream = next(backbone.parameters())  # positions or prefix tokens: of the residual stream's dtype
        self._spec = spec or EngineSpec(preset=backbone.preset, precision="float32", entry="stack")
        self.precision = self._spec.precision
        self.entry: Entry = self._spec.entry
        self._device = stream.device
        self._graph = Graph(backbone, self._spec, stream.dtype).to(self._device).eval()
        self._run: Callable[..., tuple[Tensor, ...]] = self._graph
        # The reference stays as plain as it can be.
        self.fixed_images = self._device.type == "cuda" and self.precision != "float32"
        if self.fixed_images:
            self._run = CudaGraph(self._graph, example_inputs(self._spec, "cuda"))

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.fixed_images:
            self._spec.check(inputs)
        with torch.inference_mode():
            features = self._run(*(tensor.to(self._device) for tensor in inputs))
            return tuple(tensor.cpu() for tensor in features)


def missing(precision: str) -> str:
    """What this machine lacks."""
    if precision == "bfloat16" and not torch.cuda.is_available() and not machine.has_bfloat16():
        return "a CPU with bfloat16 instructions (avx512_bf16 or amx_bf16), or a GPU"
    if precision in ("float16", "mixed") and not torch.cuda.is_available():
        return "a GPU: torch computes float16 on the CPU, but tens of times slower than float32"
    return ""


def versions() -> dict[str, str]:
    """What the numbers depend on."""
    return {"torch": torch.__version__}


def build(backbone: Backbone, spec: EngineSpec, folder: Path) -> None:
    """Store the weights in the engine's precision."""
    weights = typed_graph(backbone, spec).backbone.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)


def load(folder: Path, spec: EngineSpec) -> EagerEngine:
    """Read the weights, to the GPU if there is one."""
    backbone = typed_graph(folded_shell(spec.preset), spec).backbone
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone.load_state_dict(load_file(folder / WEIGHTS, device=device), assign=True)
    return EagerEngine(backbone.requires_grad_(False), spec)
