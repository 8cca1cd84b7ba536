"""The network on a GPU, measured; see gpu.sh. On a CPU a rehearsal with a reduced depth."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.bench.timm_models import TimmPair
from omnivla_vision.bench.work import matrix_roof, operations
from omnivla_vision.engine import machine
from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.cuda_graph import CudaGraph
from omnivla_vision.engine.fold import fold
from omnivla_vision.engine.graph import example_inputs, typed_graph
from omnivla_vision.engine.parity import Judged, features, judge
from omnivla_vision.engine.parity_images import ALL_IMAGES, START_IMAGES
from omnivla_vision.engine.reference import Reference, compute_reference
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.presets import Preset, get_preset
from omnivla_vision.network.realistic_weights import fill_realistic
from omnivla_vision.weights import ODDITIES

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
# A CPU takes seconds per image: two blocks and two images show as well that the script works.
REHEARSAL_DEPTH = 3
# A network on the device.
Run = Callable[..., tuple[Tensor, ...]]
REPETITIONS = 50 if GPU else 1
GATE_IMAGES = ALL_IMAGES if GPU else START_IMAGES
PRECISIONS = ("bfloat16", "float16", "mixed")
CAMERAS = {"VGA": (480, 640), "1080p": (1080, 1920)}


def main() -> None:
    """Measure everything, print it as it comes, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--preset", default="dinosiglip-224")
    parser.add_argument("--depth", type=int, default=0 if GPU else REHEARSAL_DEPTH)
    parser.add_argument("--weights", nargs="+", default=list(ODDITIES), choices=ODDITIES)
    parser.add_argument("--images", nargs="+", type=int, default=[1, 2] if GPU else [1])
    parser.add_argument("--max-autotune", action="store_true", help="also with inductor's search, which takes minutes")
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False  # the products of mixed are float16, nothing else may be less
    preset = get_preset(arguments.preset)
    if arguments.depth:
        encoders = tuple(dataclasses.replace(spec, depth=min(arguments.depth, spec.depth)) for spec in preset.encoders)
        preset = dataclasses.replace(preset, encoders=encoders)
    networks = [_network(preset, weights) for weights in arguments.weights]
    report: dict[str, Any] = {
        "machine": machine.description(),
        "preset": preset.name,
        "depth": [spec.depth for spec in preset.encoders],
        "gflop_per_image": operations(preset) / 1e9,
        "rehearsal_on_cpu": not GPU,
        "bfloat16_loses": {
            network.weights: [asdict(entry) for entry in network.reference.bfloat16] for network in networks
        },
        "results": [],
    }
    for precision in PRECISIONS:
        peak = matrix_roof(precision)
        report.setdefault("matrix_peak_tflops", {})[precision] = peak / 1e12
        for images in arguments.images:
            spec = EngineSpec(preset=preset, precision=precision, images=images)
            for row in _measure(networks, spec, peak, max_autotune=arguments.max_autotune):
                report["results"].append(row)
                print(_line(row), flush=True)
    report["timm_bfloat16"] = _timm(preset, arguments.images)
    report["preprocessing_ms"] = _preprocessing(preset)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{arguments.json} written{'' if GPU else ': a rehearsal on the CPU, its numbers mean nothing'}")


@dataclass(frozen=True, kw_only=True)
class Network:
    """Weights of one kind, and the tokens that they should give."""

    weights: str
    backbone: Backbone
    reference: Reference


def _network(preset: Preset, weights: str) -> Network:
    backbone = build_backbone(preset)
    fill_realistic(backbone, seed=0, oddities=ODDITIES[weights])
    return Network(weights=weights, backbone=backbone, reference=compute_reference(backbone))


def _measure(networks: list[Network], spec: EngineSpec, peak: float, *, max_autotune: bool) -> Iterator[dict[str, Any]]:
    """One row for each way to run the same graph, and each kind of weights; these are exchanged in place."""
    graphs = [typed_graph(fold(network.backbone), spec) for network in networks]
    stored = [graph.backbone.state_dict() for graph in graphs]
    graph = copy.deepcopy(graphs[0]).to(DEVICE)  # what is not cast is shared with the networks
    inputs = example_inputs(spec, DEVICE)
    paths: dict[str, Callable[[], Run]] = {"eager": lambda: graph}
    if GPU:
        paths["cuda graph"] = lambda: CudaGraph(graph, inputs)
        paths["inductor, cuda graph"] = lambda: CudaGraph(torch.compile(graph, fullgraph=True), inputs)
    else:
        paths["inductor"] = lambda: torch.compile(graph, fullgraph=True)
    if GPU and max_autotune:
        paths["inductor, max-autotune, cuda graph"] = lambda: CudaGraph(
            torch.compile(graph, fullgraph=True, mode="max-autotune-no-cudagraphs"), inputs
        )
    for name, make in paths.items():
        torch.compiler.reset()
        if GPU:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        with torch.inference_mode():
            run = make()
            run(*inputs)
            _synchronize()
        build_s = time.perf_counter() - started
        for network, weights in zip(networks, stored, strict=True):
            graph.backbone.load_state_dict(weights)
            with torch.inference_mode():
                results = _gate(run, spec, network.reference)
                latency = _milliseconds(partial(run, *inputs))
            rate = operations(spec.preset) * spec.images / (latency["median"] / 1e3)
            yield {
                "path": name,
                "precision": spec.precision,
                "weights": network.weights,
                "images": spec.images,
                "latency_ms": latency,
                "fraction_of_peak": rate / peak if peak else None,
                "build_s": build_s,
                "gpu_memory_mb": torch.cuda.max_memory_allocated() / 1e6 if GPU else None,
                "gate": {result.difference.encoder: asdict(result.difference) for result in results},
                "times_the_limits": max(result.excess for result in results),
            }


def _gate(run: Run, spec: EngineSpec, reference: Reference) -> tuple[Judged, ...]:
    """The fixed images, in batches of the spec's size."""

    def on_device(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(tensor.cpu() for tensor in run(*(tensor.to(DEVICE) for tensor in batch)))

    return judge(reference.compare(features(on_device, spec, GATE_IMAGES), GATE_IMAGES), spec.precision, reference)


def _timm(preset: Preset, images: list[int]) -> list[dict[str, Any]]:
    """The models of timm in bfloat16, which is what OpenVLA and OmniVLA run; nothing where timm is not installed."""
    try:
        pair = TimmPair(preset).to(DEVICE, torch.bfloat16)
    except ImportError as error:
        print(f"without timm: {error}")
        return []
    rows = []
    for count in images:
        spec = EngineSpec(preset=preset, precision="bfloat16", images=count, entry="stack")
        inputs = tuple(stack.bfloat16() for stack in example_inputs(spec, DEVICE))
        paths: dict[str, Run] = {"eager": pair}
        if GPU:
            paths["cuda graph"] = CudaGraph(pair, inputs)
        for name, run in paths.items():
            rows.append({"path": name, "images": count, "latency_ms": _milliseconds(partial(run, *inputs))})
            print(f"timm, {name}, bfloat16, images {count}: {rows[-1]['latency_ms']['median']:.2f} ms", flush=True)
    return rows


def _preprocessing(preset: Preset) -> dict[str, dict[str, float]]:
    """Upload and resize on the device, against resize on the CPU and upload of what is left.

    On a GPU, torch resizes floats only, and differs from PIL by up to five levels: a measurement, not a recommendation.
    """
    preprocess = Preprocessor(preset)
    size = preset.inputs[0].size
    results: dict[str, dict[str, float]] = {}
    for camera, (height, width) in CAMERAS.items():
        frame = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)

        def on_device(frame: Tensor = frame) -> Tensor:
            planes = frame.to(DEVICE).permute(2, 0, 1).unsqueeze(0).float()
            return F.interpolate(planes, size=tuple(size), mode="bicubic", antialias=True).round().clamp(0, 255)

        def on_cpu(frame: Tensor = frame) -> list[Tensor]:
            return [pixels.to(DEVICE) for pixels in preprocess.pixels([frame.numpy()])]

        results[camera] = {
            f"resize on {DEVICE}": _milliseconds(on_device)["median"],
            "resize on the CPU, upload": _milliseconds(on_cpu)["median"],
        }
    return results


def _milliseconds(call: Callable[[], object]) -> dict[str, float]:
    """Wall-clock time of a call until the device has finished."""
    for _ in range(2):
        call()
    _synchronize()
    times = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        call()
        _synchronize()
        times.append((time.perf_counter() - started) * 1e3)
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def _synchronize() -> None:
    if GPU:
        torch.cuda.synchronize()


def _line(row: dict[str, Any]) -> str:
    fraction = "" if row["fraction_of_peak"] is None else f", {row['fraction_of_peak']:.0%} of the matrix peak"
    times = row["times_the_limits"]
    verdict = f"{times:.2g} of the gate's limits" if times <= 1 else f"REFUSED, {times:.2g} times the gate's limits"
    return (
        f"{row['path']}, {row['precision']}, {row['weights']} weights, images {row['images']}: "
        f"{row['latency_ms']['median']:.2f} ms{fraction}; {verdict}; built in {row['build_s']:.0f} s"
    )


if __name__ == "__main__":
    main()
