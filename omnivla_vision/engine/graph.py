"""The network with its entry in front, as every engine runs it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.mixed import mixed
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import InputStack

# Raise it when what a graph computes, or how it gives it, changes: bundles of older graphs are then not found any more.
GRAPH_VERSION = 3


class Normalize(nn.Module):
    """uint8 [B, 3, H, W] pixels -> float32 [B, 3 * encoders, H, W], with the arithmetic of `preprocess`."""

    mean: Tensor
    std: Tensor

    def __init__(self, inputs: InputStack) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([spec.mean for spec in inputs.encoders]).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor([spec.std for spec in inputs.encoders]).view(-1, 1, 1))
        self.encoders = len(inputs.encoders)

    def forward(self, pixels: Tensor) -> Tensor:
        unit = pixels.float() / 255
        return (unit.repeat(1, self.encoders, 1, 1) - self.mean) / self.std


class Graph(nn.Module):
    """Input tensors as `spec.entry` says -> float32 [B, rows, width] of each encoder.

    `dtype` is what the activations are computed in; the normalization before and the features after are float32.
    """

    def __init__(self, backbone: Backbone, spec: EngineSpec, dtype: torch.dtype) -> None:
        super().__init__()
        self.backbone = backbone
        self.entry = nn.ModuleList(
            Normalize(inputs) if spec.entry == "uint8" else nn.Identity() for inputs in spec.preset.inputs
        )
        self.dtype = dtype

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        stacks = [entry(tensor).to(self.dtype) for entry, tensor in zip(self.entry, inputs, strict=True)]
        return tuple(features.float() for features in self.backbone(*stacks))


def typed_graph(backbone: Backbone, spec: EngineSpec, *, spelled_attention: bool = False) -> Graph:
    """The graph of a folded float32 backbone in float32, bfloat16, float16 or mixed. The backbone's layers are cast.

    Args:
        backbone: the caller's own copy.
        spec: which precision, and which inputs.
        spelled_attention: in mixed precision, the softmax as a float32 step of its own.
    """
    if spec.precision == "mixed":
        return Graph(mixed(backbone, spelled=spelled_attention), spec, torch.float32).eval()
    dtype = getattr(torch, spec.precision)
    return Graph(backbone.to(dtype), spec, dtype).eval()


def example_inputs(spec: EngineSpec, device: str = "cpu") -> tuple[Tensor, ...]:
    """Input tensors of the right shapes, for tracing."""
    return tuple(torch.zeros(shape, dtype=spec.input_dtype, device=device) for shape in spec.input_shapes)
