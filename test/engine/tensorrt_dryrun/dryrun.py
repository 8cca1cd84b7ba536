"""torch-tensorrt's own partitioner over our graphs, without a GPU. Run by test_tensorrt.py in a process of its own.

Usage: dryrun.py PRESET CASE..., a case being PRECISION,IMAGES,ENTRY,DEPTH, with ,unconvertible behind it or not, where
DEPTH is "full" or the number of blocks as timm counts them. The last line it prints is a JSON object: for each case and
encoder the number of TensorRT engines, of operators in them, and of operators in all.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import torch

from omnivla_vision.network.spec import Preset

# A Jetson Orin's GPU.
CAPABILITY = (8, 7)
MEMORY_BYTES = 8 << 30


@contextlib.contextmanager
def pretended_gpu() -> Iterator[None]:
    """What torch-tensorrt asks of CUDA before it looks at a graph."""
    properties = SimpleNamespace(name="Orin", major=CAPABILITY[0], minor=CAPABILITY[1], total_memory=MEMORY_BYTES)
    is_file = os.path.isfile

    def without_runtime(path: str) -> bool:
        # torch-tensorrt's compiled half needs the real TensorRT, and a torch with CUDA.
        return "libtorchtrt" not in str(path) and is_file(path)

    with contextlib.ExitStack() as stack:
        for name, value in {
            "get_device_capability": CAPABILITY,
            "get_device_properties": properties,
            "mem_get_info": (MEMORY_BYTES, MEMORY_BYTES),
            "current_device": 0,
            "get_device_name": "Orin",
        }.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, lambda *_, value=value, **__: value))
        if not hasattr(torch._C, "_CudaDeviceProperties"):
            stack.enter_context(mock.patch.object(torch._C, "_CudaDeviceProperties", SimpleNamespace, create=True))
        stack.enter_context(mock.patch.object(os.path, "isfile", without_runtime))
        yield


def partition(graph: torch.nn.Module, example: torch.Tensor, options: dict[str, bool]) -> dict[str, int]:
    """What the dry run found out about one graph."""
    import torch_tensorrt
    from torch_tensorrt.dynamo import _compiler

    with torch.no_grad():
        program = torch.export.export(graph, (example,))
    # What is left to torch would be moved to the GPU.
    cpu = mock.patch.object(_compiler, "to_torch_device", return_value=torch.device("cpu"))
    with mock.patch.object(_compiler, "dryrun_stats_display") as display, cpu:
        torch_tensorrt.dynamo.compile(program, arg_inputs=(example,), dryrun=True, min_block_size=1, **options)
    tracker = display.call_args.args[0]
    return {
        "engines": tracker.tensorrt_graph_count,
        "converted": sum(part.subgraph_op_count for part in tracker.per_subgraph_data),
        "operators": tracker.total_ops_in_graph,
    }


class Unconvertible(torch.nn.Module):
    """The antialiased resize, for which torch-tensorrt has no converter."""

    def __init__(self, graph: torch.nn.Module) -> None:
        super().__init__()
        self.network = graph

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        size = tensor.shape[-2:]
        resized = torch.nn.functional.interpolate(tensor.float(), size=size, mode="bicubic", antialias=True)
        return self.network(resized.to(tensor.dtype))


def shallow(preset: Preset, depth: int) -> Preset:
    """The preset with fewer blocks."""
    return replace(preset, encoders=tuple(replace(encoder, depth=depth) for encoder in preset.encoders))


def main(preset_name: str, *cases: str) -> None:
    """Partition every encoder of a preset, for every case."""
    import tensorrt_bindings

    sys.modules["tensorrt"] = tensorrt_bindings
    from omnivla_vision.engine.base import EngineSpec
    from omnivla_vision.engine.fold import folded_shell
    from omnivla_vision.engine.graph import example_inputs
    from omnivla_vision.engine.tensorrt import encoder_graphs, typing_options
    from omnivla_vision.network.presets import get_preset

    full = get_preset(preset_name)
    results = {}
    with pretended_gpu():
        for case in cases:
            precision, images, entry, depth, *damage = case.split(",")
            encoders = [
                replace(encoder, depth=encoder.depth if depth == "full" else int(depth)) for encoder in full.encoders
            ]
            preset = replace(full, encoders=tuple(encoders))
            spec = EngineSpec(preset=preset, precision=precision, images=int(images), entry=entry)
            results[case] = {}
            for name, graph in encoder_graphs(folded_shell(preset), spec, "meta").items():
                # Memory that is never touched takes no room: the partitioner looks at shapes, not at weights.
                graph.to_empty(device="cpu")
                example = example_inputs(spec)[graph.input]
                results[case][name] = partition(
                    Unconvertible(graph) if damage else graph, example, typing_options(precision)
                )
    print("RESULT", json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
