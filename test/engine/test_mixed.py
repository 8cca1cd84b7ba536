"""Products in float16 and everything between them in float32. float16 is slow on a CPU: the network is small."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.fold import fold, folded_shell
from omnivla_vision.engine.graph import Graph, typed_graph
from omnivla_vision.engine.parity_images import batches
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset


def graph_in(backbone: Backbone, precision: str, *, spelled: bool = False) -> Graph:
    spec = EngineSpec(preset=backbone.preset, precision=precision)
    return typed_graph(fold(backbone), spec, spelled_attention=spelled)


def run(graph: Graph, images: tuple[int, ...] = (0,)) -> torch.Tensor:
    spec = EngineSpec(preset=graph.backbone.preset, precision="mixed")
    with torch.no_grad():
        return torch.cat([graph(*batch) for batch in batches(spec, images)])


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
