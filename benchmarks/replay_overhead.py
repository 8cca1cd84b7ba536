"""How much mode exact adds to the encoder's own time per frame.

Encodes the same frames twice: from memory with the encoder alone, and from a bag with the whole of mode exact (reading,
decoding, measuring, writing tokens.mcap). The two take turns frame by frame in blocks, so that a machine whose speed
drifts treats both alike.

    python benchmarks/replay_overhead.py --preset dinosiglip-224 --frames 12 --json out.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from omnivla_vision.goal import Goal
from omnivla_vision.loading import EncoderOptions, encoder_of
from omnivla_vision.network.presets import PRESETS, get_preset
from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.decoding import read_images
from omnivla_vision.replay.exact import ExactReplay
from omnivla_vision.replay.selection import select
from omnivla_vision.replay.token_bag import TokenBag
from omnivla_vision.resources import resource_path
from omnivla_vision.weights import random_weights

CAMERA, GOAL = "/camera/image_raw/compressed", "/goal_image/compressed"


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description="Overhead of mode exact over the encoder alone.")
    parser.add_argument("--preset", choices=PRESETS, default="dinosiglip-224")
    parser.add_argument("--frames", type=int, default=12, help="of the sample drive, in each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    drive = resource_path("resource/sample_drive")
    with Bag(drive) as bag:
        selection = select(bag, duration_s=arguments.frames / 10 - 0.05)
    frames = list(read_images(drive, CAMERA))[: arguments.frames]
    goal = Goal(rgb=next(read_images(drive, GOAL)).rgb)
    encoder = encoder_of(random_weights(get_preset(arguments.preset)), EncoderOptions(engine="eager"))
    encoder.warm_up()
    alone, exact = [], []
    for _ in range(arguments.turns):
        started = time.perf_counter()
        encoder.set_goal(None)
        encoder.encode(frames[0].rgb)
        encoder.set_goal(goal)
        for frame in frames[1:]:
            encoder.encode(frame.rgb)
        alone.append((time.perf_counter() - started) / arguments.frames * 1e3)
        with tempfile.TemporaryDirectory() as folder, TokenBag(Path(folder) / "tokens.mcap") as token_bag:
            replay = ExactReplay(drive, selection, encoder, token_bag=token_bag).run({})
        assert replay.counts.published == arguments.frames
        exact.append(replay.wall_s / arguments.frames * 1e3)
    # The best of each: whatever else the machine does only ever adds.
    overhead = min(exact) / min(alone) - 1
    result = {
        "preset": arguments.preset,
        "frames": arguments.frames,
        "turns": arguments.turns,
        "encoder_alone_ms_per_frame": round(min(alone), 2),
        "mode_exact_ms_per_frame": round(min(exact), 2),
        "overhead_percent": round(100 * overhead, 2),
        "medians_ms": [round(statistics.median(alone), 2), round(statistics.median(exact), 2)],
        "limit_percent": 5,
        "machine": {"cpus": os.cpu_count(), "architecture": platform.machine(), "torch": torch.__version__},
    }
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
