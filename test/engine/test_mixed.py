"""Products in float16 and everything between them in float32. float16 is slow on a CPU: the network is small."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.float16_emulation import WAYS, measure
from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.fold import fold, folded_shell
from omnivla_vision.engine.graph import Graph, typed_graph
from omnivla_vision.engine.parity_images import batches
from omnivla_vision.engine.reference import compute_reference
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.presets import Preset
from omnivla_vision.network.realistic_weights import Oddities, fill_realistic

from .mistakes import WEIGHTS


def graph_in(backbone: Backbone, precision: str, *, spelled: bool = False) -> Graph:
    spec = EngineSpec(preset=backbone.preset, precision=precision)
    return typed_graph(fold(backbone), spec, spelled_attention=spelled)


def run(graph: Graph) -> torch.Tensor:
    spec = EngineSpec(preset=graph.backbone.preset, precision="mixed")
    with torch.no_grad():
        (batch,) = batches(spec, (0,))
        return torch.cat(graph(*batch), dim=-1)


class Dtypes(TorchDispatchMode):
    """Which operators ran on which dtypes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = function.overloadpacket.__name__
        tensors = [arg for arg in args if isinstance(arg, torch.Tensor) and arg.is_floating_point()]
        self.seen.setdefault(name, set()).update(tensor.dtype for tensor in tensors)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("spelled", [False, True])
def test_what_runs_in_which_format(backbone: Backbone, spelled: bool) -> None:
    graph = graph_in(backbone, "mixed", spelled=spelled)
    with Dtypes() as dtypes:
        run(graph)
    products = {"addmm", "convolution"} | ({"bmm"} if spelled else set())
    assert {name: dtypes.seen[name] for name in products} == {name: {torch.float16} for name in products}
    between = {"native_layer_norm"} | ({"_softmax"} if spelled else set())
    assert {name: dtypes.seen[name] for name in between} == {name: {torch.float32} for name in between}
    attention = [name for name in dtypes.seen if "attention" in name]
    assert bool(attention) != spelled
    for encoder in graph.backbone.encoders.values():
        assert encoder.blocks(torch.zeros(1, 3, encoder.spec.width)).dtype == torch.float32  # the residual stream


def test_a_shell_takes_the_weights(backbone: Backbone, preset: Preset) -> None:
    """As an engine is loaded: without float32 weights in memory."""
    built = graph_in(backbone, "mixed")
    shell = typed_graph(folded_shell(preset), EngineSpec(preset=preset, precision="mixed"))
    shell.backbone.load_state_dict(built.backbone.state_dict(), assign=True)
    assert torch.equal(run(shell), run(built))
    weights = [module.weight for module in shell.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert {weight.dtype for weight in weights} == {torch.float16}


@pytest.mark.parametrize("weights", ["plain", "massive 300", "massive 3000", "realistic"])
def test_mixed_survives_what_strict_float16_does_not(preset: Preset, weights: str) -> None:
    """What the graphs for TensorRT compute, emulated; the figures of the real depth are in benchmarks/results."""
    backbone = build_backbone(preset)
    fill_realistic(backbone, seed=0, oddities=WEIGHTS[weights])
    reference = compute_reference(backbone)
    excess = {way: [row["excess"] for row in measure(backbone, reference, way)] for way in WAYS}
    assert all(each < 0.5 for each in excess["mixed"])
    assert all((each > 10) == (weights != "plain") for each in excess["float16, strict"])


@pytest.mark.parametrize("factor", [20.0, 100.0])
def test_no_image_makes_the_layers_after_a_norm_leave_float16(preset: Preset, factor: float) -> None:
    """A norm's output before its weights has a length of at most sqrt(width), whatever the image."""
    backbone = build_backbone(preset)
    fill_realistic(backbone, seed=0, oddities=Oddities(norm_factor=factor, hidden_factor=100.0, massive=3000.0))
    largest = torch.finfo(torch.float16).max
    for encoder in backbone.encoders.values():
        for block in encoder.blocks:
            for norm, layer in ((block.norm1, block.attn.qkv), (block.norm2, block.mlp.fc1)):
                rows = (layer.weight * norm.weight).norm(dim=1) * encoder.spec.width**0.5
                offset = (layer.weight @ norm.bias + layer.bias).abs()
                assert (rows + offset).max() < largest / 20
