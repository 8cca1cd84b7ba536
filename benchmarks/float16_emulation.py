"""What a float16 engine computes on weights with outliers, emulated on the CPU; a table for docs/engines.md.

    python -m benchmarks.float16_emulation --json benchmarks/results/float16_emulation.json

The graphs are those that become TensorRT engines, the numbers those that a GPU would hold: the operands and results of
every operation on float16 are rounded to it, sums are float32. Three ways to compute:

- `float16, strict`: every step in float16, also inside a LayerNorm and a softmax, as the types of the network say.
- `float16, torch`: a LayerNorm and an attention are float32 inside, as in torch's own kernels, and in TensorRT's where
  it chooses so.
- `mixed`: residual stream, norms and softmax in float32; the rest strictly in float16.

What leaves float16's range inside a norm need not end as infinity: an infinite variance makes zeros, and the tokens are
finite and wrong. About a minute on two cores.
"""
# ruff: noqa: SLF001 - operators below the public ones have no public name

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from omnivla_vision.engine import machine
from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.fold import fold
from omnivla_vision.engine.limits import limits
from omnivla_vision.engine.parity import features
from omnivla_vision.engine.parity_images import START_IMAGES
from omnivla_vision.engine.reference import Array, Reference, compute_reference
from omnivla_vision.engine.tensorrt import encoder_graphs
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.realistic_weights import fill_realistic
from test.engine.mistakes import WEIGHTS
from test.presets import shallow

# Name, the engine's precision, whether norms and softmax are taken apart.
WAYS = {"float16, strict": ("float16", True), "float16, torch": ("float16", False), "mixed": ("mixed", True)}
aten = torch.ops.aten
# What torch calls for scaled_dot_product_attention on a CPU.
ATTENTION = (aten._scaled_dot_product_flash_attention_for_cpu.default, aten.scaled_dot_product_attention.default)


class Float16Arithmetic(TorchDispatchMode):
    """Operations on float16 tensors, computed in float32 and rounded: tens of times faster than a CPU's own.

    Args:
        strict: a LayerNorm, an attention and a softmax are several operations, each of which rounds.
    """

    def __init__(self, *, strict: bool) -> None:
        super().__init__()
        self._strict = strict

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        # A product of two formats does not exist; an addition gives the wider one.
        if func is aten._to_copy.default or not tensors or {tensor.dtype for tensor in tensors} != {torch.float16}:
            return func(*args, **kwargs)
        if self._strict and func in STEPS:
            with self:
                return STEPS[func](*args, **kwargs)
        result = func(*tree_map_only(Tensor, Tensor.float, args), **tree_map_only(Tensor, Tensor.float, kwargs))
        return tree_map_only(Tensor, lambda x: x.half() if x.dtype == torch.float32 else x, result)


def layer_norm(x: Tensor, shape: Any, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, None, None]:
    """TensorRT's normalization layer, in the dtype of its input; 300 squared is more than float16 holds."""
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred / (variance + eps).sqrt() * weight + bias, None, None


def attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, scale: float, **__: Any) -> tuple[Tensor, None]:
    """As torch-tensorrt 2.8 takes it apart."""
    scores = query @ key.transpose(-2, -1) * scale
    return softmax(scores, -1, False) @ value, None


def softmax(x: Tensor, dim: int, _: bool) -> Tensor:
    """Exponentials and their sum in the dtype of the input."""
    powers = (x - x.amax(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)


STEPS: dict[Any, Callable[..., Any]] = {
    aten.native_layer_norm.default: layer_norm,
    aten._softmax.default: softmax,
    **dict.fromkeys(ATTENTION, attention),
}


def main() -> None:
    """Compute, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--depth", type=int, default=0, help="blocks per encoder (the preset's)")
    parser.add_argument("--weights", nargs="*", default=list(WEIGHTS), choices=WEIGHTS)
    arguments = parser.parse_args()
    preset = get_preset(arguments.preset)
    if arguments.depth:
        preset = shallow(preset, arguments.depth)
    rows = []
    print("| weights | way | encoder | relative L2 | in bfloat16 | worst channel | times the limits |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for weights in arguments.weights:
        backbone = build_backbone(preset)
        fill_realistic(backbone, seed=0, oddities=WEIGHTS[weights])
        reference = compute_reference(backbone)
        for way in WAYS:
            for row in measure(backbone, reference, way):
                rows.append({"weights": weights, "way": way, **row})
                print(line(rows[-1]), flush=True)
    if arguments.json:
        report = {"machine": machine.description(), "preset": preset.name,
                  "depth": [spec.depth for spec in preset.encoders], "rows": rows}  # fmt: skip
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def measure(backbone: Backbone, reference: Reference, way: str) -> list[dict[str, Any]]:
    """One row per encoder; what is infinite or NaN is null in JSON."""
    precision, strict = WAYS[way]
    emulated = run(backbone, precision, START_IMAGES, strict=strict)
    rows = []
    for found, bfloat16 in zip(reference.compare(emulated, START_IMAGES), reference.bfloat16, strict=True):
        row = {
            "encoder": found.encoder,
            "relative_l2": found.relative_l2,
            "bfloat16_relative_l2": bfloat16.relative_l2,
            "worst_channel": found.channel,
            "excess": limits(precision, bfloat16).excess(found),
        }
        rows.append({name: value if isinstance(value, str) or value < inf else None for name, value in row.items()})
    return rows


def run(backbone: Backbone, precision: str, images: Sequence[int], *, strict: bool) -> list[Array]:
    """[images, rows, width] of each encoder, of the graphs that would become engines."""
    spec = EngineSpec(preset=backbone.preset, precision=precision)
    graphs = encoder_graphs(fold(backbone), spec, "cpu")
    # Not inference_mode, in which a dispatch mode is not asked.
    with torch.no_grad(), Float16Arithmetic(strict=strict):
        return features(lambda batch: tuple(graph(batch[graph.input]) for graph in graphs.values()), spec, images)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""

    def number(name: str) -> str:
        return "not finite" if row[name] is None else f"{row[name]:.2g}"

    names = ("relative_l2", "bfloat16_relative_l2", "worst_channel", "excess")
    return f"| {row['weights']} | {row['way']} | {row['encoder']} | " + " | ".join(map(number, names)) + " |"


if __name__ == "__main__":
    main()
