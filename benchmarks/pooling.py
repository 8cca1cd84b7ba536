"""What pooling takes behind the engine: microseconds per image, on one core; beside it torch's own adaptive pooling.

    python benchmarks/pooling.py --json benchmarks/results/pooling.json

OpenTrackVLA's grid of 24x24 tokens 1536 wide, and the way there from SigLIP's 27x27.
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
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.network.features import pool
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.outputs import get_pooling

CASES = ((Grid(24, 24), 1536, "8x8"), (Grid(24, 24), 1536, "2x2"), (Grid(27, 27), 1152, "24x24"))
CASES += ((Grid(27, 27), 1152, "14x14"), (Grid(32, 32), 768, "shuffle:4"))


def microseconds(call: Callable[[], object], repeats: int) -> dict[str, int]:
    """Median and p95; the first tenth warms up."""
    taken = []
    for number in range(repeats + repeats // 10):
        start = time.perf_counter()
        call()
        if number >= repeats // 10:
            taken.append((time.perf_counter() - start) * 1e6)
    return {f"p{q}": round(float(np.percentile(taken, q))) for q in (50, 95)}


def torchs(tokens: Tensor, grid: Grid, to: Grid) -> Tensor:
    """The same by torch's own adaptive pooling."""
    return F.adaptive_avg_pool2d(tokens.transpose(1, 2).unflatten(2, grid), to).flatten(2).transpose(1, 2)


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ")
    report = {
        "machine": {
            "cpu": cpu.partition(": ")[2],
            "load_average_before": round(os.getloadavg()[0], 2),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "results": [],
    }
    for grid, width, name in CASES:
        tokens = torch.randn(1, grid.tokens, width)
        pooling = get_pooling(name)
        row = {"grid": str(grid), "width": width, "pooling": name}
        row["us"] = microseconds(lambda t=tokens, g=grid, p=pooling: pool(t, g, p), arguments.repeats)
        if pooling.kind == "average":
            to = pooling.grid(grid)
            row["torch_us"] = microseconds(lambda t=tokens, g=grid, to=to: torchs(t, g, to), arguments.repeats)
        report["results"].append(row)
        print(json.dumps(row))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
