"""What past frames cost: milliseconds of a frame without its network, with histories of several lengths in turns.

    .venv/bin/python benchmarks/history.py --json benchmarks/results/history.json

The network is replaced by a constant; everything else is the node's: preprocessing a VGA image, finding past frames,
packing into float16; and, apart, what is done after a frame's tokens are out: pooling it, and keeping it. Every round
gives each encoder one frame, so that whatever else this machine does meets all alike.
The thread's CPU time leaves out what others take of the processor: its p99 is the frame's own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from constant_encoder import constant_encoder

from omnivla_vision.live.memory import keep_freed_memory
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.with_history import HistoryOptions, with_history
from omnivla_vision.tokens.layout import OutputLayout
from omnivla_vision.tokens.packing import pack

FRAMES = (0, 8, 32)
PERIOD_NS = 33_333_333


def measure(preset: str, spacing: str, pool: str, rounds: int) -> list[dict[str, object]]:
    """A row for each length of the history."""
    plain = get_preset(preset)
    options = [HistoryOptions(frames=frames, spacing=spacing, pool=pool) for frames in FRAMES]
    encoders = [constant_encoder(with_history(plain, option)) for option in options]
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    frame_ms: list[list[float]] = [[] for _ in encoders]
    cpu_ms: list[list[float]] = [[] for _ in encoders]
    after_ms: list[list[float]] = [[] for _ in encoders]
    stages: list[list[dict[str, float]]] = [[] for _ in encoders]
    for number in range(rounds):
        for encoder, spent, cpu, after, each in zip(encoders, frame_ms, cpu_ms, after_ms, stages, strict=True):
            began, cpu_began = time.perf_counter(), time.thread_time()
            tokens = encoder.encode(image, stamp_ns=(number + 1) * PERIOD_NS)
            packed = pack(tokens.blocks, "float16", tokens.layout.shape)
            spent.append((time.perf_counter() - began) * 1e3)
            cpu.append((time.thread_time() - cpu_began) * 1e3)
            each.append(tokens.stage_ms)
            del packed
            began = time.perf_counter()
            encoder.settle()
            after.append((time.perf_counter() - began) * 1e3)
    half = rounds // 2  # the rings are full by then
    paired = [np.array(spent[half:]) - np.array(frame_ms[0][half:]) for spent in frame_ms]
    return [
        {
            "past_frames": encoder.preset.history.frames,
            "kept": encoder.preset.history.kept,
            "kept_mb": round(encoder.preset.history.kept * frame_bytes(encoder.layout.outputs) / 1e6, 2),
            "frame_ms": round(float(np.median(spent[half:])), 3),
            "more_than_without_ms": round(float(np.median(more)), 3),
            "cpu_ms": {f"p{q}": round(float(np.percentile(cpu[half:], q)), 3) for q in (50, 99)},
            "after_publishing_ms": round(float(np.median(after[half:])), 3),
            "stages_ms": {
                name: round(float(np.median([stage_ms[name] for stage_ms in each[half:]])), 3) for name in each[-1]
            },
        }
        for encoder, spent, more, cpu, after, each in zip(
            encoders, frame_ms, paired, cpu_ms, after_ms, stages, strict=True
        )
    ]


def frame_bytes(outputs: tuple[OutputLayout, ...]) -> int:
    """What a frame takes in the ring, whose outputs are those behind the first."""
    return sum(4 * output.tokens_per_image * output.width for output in outputs[1:])


def main() -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="dinosiglip-224")
    parser.add_argument("--pool", default="2x2", help="of the past frames (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1200, help="frames of each, the first half to fill the rings")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory(True)  # as the node does
    report = {
        f"{spacing} apart": measure(arguments.preset, spacing, arguments.pool, arguments.rounds)
        for spacing in ("1", "0.5s")
    }
    text = json.dumps(
        {"preset": arguments.preset, "pool": arguments.pool, "rounds": arguments.rounds, "threads": 1, **report},
        indent=2,
    )
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
