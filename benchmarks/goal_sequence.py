"""What a sequence of goals costs: the first start, the next one, a move, and the similarity of a frame.

    .venv/bin/python benchmarks/goal_sequence.py --json benchmarks/results/goal_sequence.json

The network is a constant, the tokens have OmniVLA's size (float32 [256, 2176] a goal, 2.2 MB), the goals are VGA PNGs.
One thread of torch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from constant_encoder import constant_encoder

from omnivla_vision.goal_sequence.prepare import complete, prepare
from omnivla_vision.goal_sequence.store import SequenceStore
from omnivla_vision.live.memory import resident_bytes
from omnivla_vision.network.presets import get_preset
from omnivla_vision.tokens.pictures import save_png

REPEATS = 200


def write_route(folder: Path, goals: int) -> None:
    """Numbered VGA images that are all different, and compress as photographs do."""
    generator = np.random.default_rng(0)
    for number in range(goals):
        coarse = generator.integers(0, 256, (60, 80, 3), np.uint8)
        save_png(folder / f"{number}.png", np.asarray(cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)))


def timed_ms(
    work: Callable[[], Any], repeats: int, *, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median and p99 of the milliseconds that it takes."""
    samples = []
    for _ in range(repeats):
        start = clock()
        work()
        samples.append((clock() - start) * 1e3)
    return {"p50": round(float(np.median(samples)), 3), "p99": round(float(np.percentile(samples, 99)), 3)}


def measure(goals: int) -> dict[str, Any]:
    """All of it, for a number of goals."""
    encoder = constant_encoder(get_preset("dinosiglip-224"))
    with tempfile.TemporaryDirectory() as folder:
        route, kept = Path(folder, "route"), str(Path(folder, "kept"))
        route.mkdir()
        write_route(route, goals)

        def take() -> Any:
            return complete(prepare(route, encoder, SequenceStore(kept), spacing_s=1.0, announce=print))

        first = timed_ms(take, 1)["p50"]
        before = resident_bytes()
        again = timed_ms(take, 5)["p50"]
        sequence = take()
        grown_mb = (resident_bytes() - before) / 1e6
        indices = iter(np.random.default_rng(0).integers(0, goals, REPEATS))
        # In CPU time, which does not grow with what else this machine does.
        cpu = time.thread_time
        move = timed_ms(lambda: sequence.encoded(int(next(indices)), encoder), REPEATS, clock=cpu)
        frame = sequence.encoded(0, encoder).fused
        alike = timed_ms(lambda: sequence.similarities(frame, encoder, range(min(7, goals))), REPEATS, clock=cpu)
        size = sum(file.stat().st_size for file in Path(kept).rglob("*.safetensors"))
    return {
        "goals": goals,
        "first_start_without_the_network_ms": first,
        "next_start_ms": again,
        "resident_growth_of_next_starts_mb": round(grown_mb, 1),
        "kept_mb": round(size / 1e6, 1),
        "move_cpu_ms": move,
        "similarity_of_a_frame_to_7_cpu_ms": alike,
    }


def main() -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goals", type=int, nargs="+", default=[7, 100, 1000], metavar="N", help="(%(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1), "system": platform.platform()}
    text = json.dumps({"machine": machine, "sequences": [measure(goals) for goals in arguments.goals]}, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
