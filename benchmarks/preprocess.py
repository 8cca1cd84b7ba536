"""How long a camera image takes to become the network's input: median and p95 of many, on a core each and on all.

    python benchmarks/preprocess.py --json benchmarks/results/preprocess.json

`pixels` is what the engines take (resized, uint8, normalized inside their graph), `stack` the normalized float32
[1, 6, 224, 224] of the public code.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.presets import get_preset

CAMERAS = {"VGA": (480, 640), "1080p": (1080, 1920)}


def milliseconds(call: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median and p95; the first tenth warms up."""
    taken = []
    for number in range(repeats + repeats // 10):
        start = time.perf_counter()
        call()
        if number >= repeats // 10:
            taken.append((time.perf_counter() - start) * 1e3)
    return {f"p{q}": round(float(np.percentile(taken, q)), 3) for q in (50, 95)}


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    preprocess = Preprocessor(get_preset("dinosiglip-224"))
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ")
    report = {
        "machine": {
            "cpu": cpu.partition(": ")[2],
            "cores": os.cpu_count(),
            "load_average_before": round(os.getloadavg()[0], 2),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "results": [],
    }
    for name, (height, width) in CAMERAS.items():
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        for threads in sorted({1, os.cpu_count() or 1}):
            torch.set_num_threads(threads)
            row = {
                "camera": name,
                "threads": threads,
                "pixels_ms": milliseconds(lambda image=image: preprocess.pixels([image]), arguments.repeats),
                "stack_ms": milliseconds(lambda image=image: preprocess([image]), arguments.repeats),
            }
            report["results"].append(row)
            print(json.dumps(row))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
