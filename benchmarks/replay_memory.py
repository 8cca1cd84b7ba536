"""How much memory mode exact takes for a long recording: ten minutes of 30 Hz VGA as mcap, about 1 GB.

Writes the bag, streams it through mode exact in a process of its own, and reports how far that process's resident
memory grew beyond what it had after the first hundred frames. The network is a tiny one: what streams through it is
the same, and 18 000 frames of OmniVLA's pair would take hours.

    python benchmarks/replay_memory.py --minutes 10 --json out.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from omnivla_vision.loading import EncoderOptions, encoder_of
from omnivla_vision.network.encoders import HALF
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.spec import EncoderSpec, Preset
from omnivla_vision.replay.bag import COMPRESSED_IMAGE, Bag
from omnivla_vision.replay.baseline import BaselineBuilder
from omnivla_vision.replay.decoding import message_types
from omnivla_vision.replay.exact import ExactReplay
from omnivla_vision.replay.measure import segments
from omnivla_vision.replay.report.page import write_report
from omnivla_vision.replay.selection import select
from omnivla_vision.weights import random_weights

TOPIC = "/camera/image_raw/compressed"
RATE = 30
TINY = Preset(
    name="tiny",
    encoders=tuple(
        EncoderSpec(
            name=name,
            timm_id="",
            image_size=ImageSize.square(32),
            patch_size=16,
            width=16,
            depth=2,
            heads=2,
            mlp_width=16,
            mean=HALF,
            std=HALF,
        )
        for name in ("first", "second")
    ),
)


def write_bag(path: Path, frames: int) -> None:
    """JPEGs of some 57 KB each, as a VGA camera sends them."""
    types = message_types()
    image, header = types.types[COMPRESSED_IMAGE], types.types["std_msgs/msg/Header"]
    stamp = types.types["builtin_interfaces/msg/Time"]
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(30):
        coarse = cv2.resize(
            random.integers(0, 256, (60, 80, 3), dtype=np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC
        )
        grain = random.normal(0, 5, coarse.shape)
        noisy = (coarse + grain).clip(0, 255).astype(np.uint8)
        pictures.append(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].ravel())
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        connection = bag.add_connection(TOPIC, COMPRESSED_IMAGE, typestore=types)
        for index in range(frames):
            time_ns = 1_700_000_000_000_000_000 + index * 10**9 // RATE
            message = image(
                header=header(stamp=stamp(*divmod(time_ns, 10**9)), frame_id="camera"),
                format="jpeg",
                data=pictures[index % len(pictures)],
            )
            bag.write(connection, time_ns, types.serialize_cdr(message, COMPRESSED_IMAGE))


def resident_mb() -> float:
    """Resident memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def stream(path: Path, out: Any) -> None:
    """Play the bag in mode exact, with baseline and report; send the figures."""
    encoder = encoder_of(random_weights(TINY), EncoderOptions(engine="eager"))
    columns = segments([spec.name for spec in TINY.encoders], [spec.width for spec in TINY.encoders])
    builder = BaselineBuilder(columns)
    samples: list[float] = []

    def progress(done: int) -> None:
        if done >= 100 and done % 100 == 0:
            samples.append(resident_mb())

    with Bag(path) as bag:
        selection = select(bag)
    replay = ExactReplay(path, selection, encoder, sinks=[builder], progress=progress).run({})
    builder.build(encoder.provenance)
    write_report(path / "report.html", replay)
    samples.append(resident_mb())
    size = (path / "report.html").stat().st_size
    out.send({"start_mb": samples[0], "peak_mb": max(samples), "wall_s": replay.wall_s, "report_kb": size / 1e3})


def main() -> None:
    """Write the bag, measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description="Memory of mode exact on a long recording.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    frames = round(arguments.minutes * 60 * RATE)
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "long"
        started = time.perf_counter()
        write_bag(bag, frames)
        size = sum(file.stat().st_size for file in bag.iterdir())
        print(f"{frames} frames, {size / 1e9:.2f} GB, written in {time.perf_counter() - started:.0f} s", flush=True)
        # A process of its own, started fresh: writing the bag must not count.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=stream, args=(bag, theirs))
        process.start()
        figures = ours.recv()
        process.join()
    result = {
        "frames": frames,
        "bag_gb": round(size / 1e9, 3),
        **{name: round(value, 1) for name, value in figures.items()},
        "growth_mb": round(figures["peak_mb"] - figures["start_mb"], 1),
        "limit_mb": 300,
        "frames_per_second": round(frames / figures["wall_s"], 1),
    }
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
