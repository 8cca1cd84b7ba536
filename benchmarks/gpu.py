"""The network on a GPU, measured; see gpu.sh. On a CPU a rehearsal with a reduced depth."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.bench.work import matrix_roof, operations
from omnivla_vision.engine import machine, parity
from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.cuda_graph import CudaGraph
from omnivla_vision.engine.fold import fold
from omnivla_vision.engine.graph import Graph, example_inputs
from omnivla_vision.engine.parity import LIMITS
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.presets import Preset, get_preset
from omnivla_vision.network.random_weights import fill_random

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
# A CPU takes seconds per image: two blocks and two images show as well that the script works.
REHEARSAL_DEPTH = 3
REPETITIONS = 50 if GPU else 1
PARITY_IMAGES = tuple(range(len(parity.parity_images()))) if GPU else parity.START_IMAGES
CAMERAS = {"VGA": (480, 640), "1080p": (1080, 1920)}


def main() -> None:
    """Measure everything, print it as it comes, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--preset", default="dinosiglip-224")
    parser.add_argument("--depth", type=int, default=0 if GPU else REHEARSAL_DEPTH)
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False  # the reference is float32
    preset = get_preset(arguments.preset)
    if arguments.depth:
        encoders = tuple(dataclasses.replace(spec, depth=min(arguments.depth, spec.depth)) for spec in preset.encoders)
        preset = dataclasses.replace(preset, encoders=encoders)
    backbone = build_backbone(preset)
    fill_random(backbone, seed=0)
    report: dict[str, Any] = {
        "machine": machine.description(),
        "preset": preset.name,
        "depth": [spec.depth for spec in preset.encoders],
        "gflop_per_image": operations(preset) / 1e9,
        "rehearsal_on_cpu": not GPU,
        "results": [],
    }
    reference = _reference(backbone)
    for precision in ("float16", "bfloat16"):
        peak = matrix_roof(precision)
        report.setdefault("matrix_peak_tflops", {})[precision] = peak / 1e12
        for images in (1, 2):
            for row in _measure(backbone, preset, precision, images, reference, peak):
                report["results"].append(row)
                print(_line(row), flush=True)
    report["preprocessing_ms"] = _preprocessing(preset)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{arguments.json} written{'' if GPU else ': a rehearsal on the CPU, its numbers mean nothing'}")


def _reference(backbone: Backbone) -> Tensor:
    """float32 tokens of the fixed images, computed where the measured network runs."""
    preprocess = Preprocessor(backbone.preset)
    backbone.to(DEVICE)
    with torch.inference_mode():
        tokens = [
            backbone(*(stack.to(DEVICE) for stack in preprocess([image]))).cpu() for image in parity.parity_images()
        ]
    backbone.to("cpu")
    return torch.cat(tokens)


def _measure(
    backbone: Backbone, preset: Preset, precision: str, images: int, reference: Tensor, peak: float
) -> Iterator[dict[str, Any]]:
    """One row for each way to run the same graph."""
    spec = EngineSpec(preset=preset, precision=precision, images=images)
    dtype = getattr(torch, precision)
    graph = Graph(fold(backbone), spec, dtype).eval()
    graph.backbone.to(dtype)
    graph.to(DEVICE)
    inputs = example_inputs(spec, DEVICE)
    paths: dict[str, Callable[[], Callable[..., Tensor]]] = {
        "eager": lambda: graph,
        "inductor": lambda: torch.compile(graph, fullgraph=True),
    }
    if GPU:
        paths["cuda graph"] = lambda: CudaGraph(graph, inputs)
        paths["inductor, cuda graph"] = lambda: CudaGraph(torch.compile(graph, fullgraph=True), inputs)
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
            results = _parity(run, spec, reference)
            latency = _milliseconds(lambda run=run: run(*inputs))
        rate = operations(preset) * images / (latency["median"] / 1e3)
        yield {
            "path": name,
            "precision": precision,
            "images": images,
            "latency_ms": latency,
            "fraction_of_peak": rate / peak if peak else None,
            "build_s": build_s,
            "gpu_memory_mb": torch.cuda.max_memory_allocated() / 1e6 if GPU else None,
            "parity": {result.encoder: asdict(result) for result in results},
            "within_limits": all(result.within(LIMITS[precision]) for result in results),
        }


def _parity(run: Callable[..., Tensor], spec: EngineSpec, reference: Tensor) -> tuple[parity.EncoderParity, ...]:
    """The fixed images, in batches of the spec's size."""
    tokens = [
        run(*(tensor.to(DEVICE) for tensor in batch)).cpu().clone() for batch in parity.batches(spec, PARITY_IMAGES)
    ]
    return parity.compare(torch.cat(tokens)[: len(PARITY_IMAGES)], reference[list(PARITY_IMAGES)], spec.preset)


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
            return F.interpolate(planes, size=(size, size), mode="bicubic", antialias=True).round().clamp(0, 255)

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
    verdict = "parity holds" if row["within_limits"] else "OUTSIDE THE LIMITS OF PARITY"
    return (
        f"{row['path']}, {row['precision']}, images {row['images']}: {row['latency_ms']['median']:.2f} ms{fraction}; "
        f"{verdict}; built in {row['build_s']:.0f} s"
    )


if __name__ == "__main__":
    main()
