"""What a dataset costs beyond the encoder: time per frame, memory for a long bag, and time per bag.

    python benchmarks/dataset_make.py --json benchmarks/results/dataset_make.json

`overhead`: the sample drive's frames through the full pair, from memory with the encoder alone, and from a bag into a
dataset, in turns. `memory`: ten minutes of 10 Hz VGA in a process of its own, its network a constant of the pair's
size: how far the peak of its memory lies above what it had when the encoder had warmed up. `bags`: 10, 100 and 1000
bags of two frames into one dataset, with a constant that takes no time: milliseconds for each bag.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from constant_encoder import constant_encoder
from rosbags.rosbag2 import StoragePlugin, Writer

from omnivla_vision.dataset.making.run import LocalRunner, Watcher, add_missing
from omnivla_vision.dataset.making.worker import Request, Worker
from omnivla_vision.dataset.recordings.plan import plan_bags
from omnivla_vision.dataset.recordings.row_options import RowOptions
from omnivla_vision.dataset.store import TokenStore
from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.loading import EncoderOptions, load_encoder
from omnivla_vision.network.presets import get_preset
from omnivla_vision.replay.bag import COMPRESSED_IMAGE, Bag
from omnivla_vision.replay.decoding import message_types, read_images, with_stamp
from omnivla_vision.resources import resource_path

CAMERA = "/camera/image_raw/compressed"
RATE = 10


class Silent(Watcher):
    """Nobody watches."""


def make(bags: Sequence[Path], out: Path, encoder: VisionEncoder, **options: Any) -> float:
    """Bags into a dataset; seconds, from the moment when the encoder is ready."""
    runner = LocalRunner(Worker(Request(uri=str(out), encoder=EncoderOptions()), encoder))
    started = time.perf_counter()
    with TokenStore(str(out)).held() as store:
        plan = plan_bags(bags, RowOptions(**options), asked=())
        summary = add_missing(store, plan.recordings, plan.unreadable, lambda: runner, Silent(), {})
    assert not summary.broken
    return time.perf_counter() - started


def overhead(turns: int, frames: int, engine: str, precision: str) -> dict[str, Any]:
    """Milliseconds per frame of the full pair, alone and into a dataset."""
    pictures = [frame.rgb for frame in read_images(resource_path("resource/sample_drive"), CAMERA)]
    encoder = load_encoder(EncoderOptions(engine=engine, precision=precision, takes_goal=False)).encoder
    encoder.warm_up()
    alone, whole = [], []
    for _ in range(turns):
        started = time.perf_counter()
        for index in range(frames):
            encoder.encode(pictures[index % len(pictures)])
        alone.append((time.perf_counter() - started) / frames * 1e3)
        with tempfile.TemporaryDirectory() as folder:
            bag = repeat_drive(Path(folder) / "bag", frames)
            whole.append(make([bag], Path(folder) / "out", encoder) / frames * 1e3)
    medians = statistics.median(alone), statistics.median(whole)
    return {
        "engine": f"{encoder.provenance.engine} {encoder.provenance.precision}",
        "frames": frames,
        "turns": turns,
        "encoder_alone_ms": [round(value, 2) for value in alone],
        "dataset_ms": [round(value, 2) for value in whole],
        "overhead_percent_of_medians": round(100 * (medians[1] / medians[0] - 1), 2),
        "limit_percent": 3,
    }


def memory(minutes: float) -> dict[str, Any]:
    """Megabytes above the encoder."""
    with tempfile.TemporaryDirectory() as folder:
        bag = write_bag(Path(folder) / "bag", round(minutes * 60 * RATE), (480, 640))
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        process = context.Process(target=_measure_memory, args=(bag, Path(folder) / "out", results))
        process.start()
        result: dict[str, Any] = results.get()
        process.join()
    return {"minutes": minutes, "rate_hz": RATE, **result, "limit_mb": 300}


def _measure_memory(bag: Path, out: Path, results: Any) -> None:
    encoder = constant_encoder(get_preset("dinosiglip-224"), takes_goal=False)
    encoder.warm_up()
    before = _memory_mb("VmRSS")
    seconds = make([bag], out, encoder)
    results.put(
        {
            "before_mb": round(before, 1),
            "peak_above_mb": round(_memory_mb("VmHWM") - before, 1),
            "written_mb": round(sum(file.stat().st_size for file in out.glob("data/*")) / 1e6),
            "seconds": round(seconds, 1),
        }
    )


def _memory_mb(name: str) -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1e3


def per_bag(counts: Sequence[int]) -> list[dict[str, Any]]:
    """Milliseconds for each bag of two frames."""
    encoder = constant_encoder(
        get_preset("small"),
        takes_goal=False,
    )
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            bags = [write_bag(Path(folder) / f"bag_{n}", 2, (48, 64), start_s=n) for n in range(count)]
            seconds = make(bags, Path(folder) / "out", encoder)
            rows.append({"bags": count, "ms_per_bag": round(seconds / count * 1e3, 2)})
    return rows


def repeat_drive(path: Path, frames: int) -> Path:
    """The sample drive's recorded frames, over and over."""
    with Bag(resource_path("resource/sample_drive")) as drive:
        records = list(drive.records([CAMERA]))
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        connection = bag.add_connection(CAMERA, COMPRESSED_IMAGE, typestore=message_types())
        for index in range(frames):
            time_ns = 1_700_000_000 * 10**9 + index * 10**9 // RATE
            bag.write(connection, time_ns, with_stamp(records[index % len(records)], time_ns).data)
    return path


def write_bag(path: Path, frames: int, size: tuple[int, int], *, start_s: int = 0) -> Path:
    """A bag of JPEG frames, all the same picture."""
    types = message_types()
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    picture = cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
    data = np.frombuffer(cv2.imencode(".jpg", picture)[1].tobytes(), np.uint8)
    time_type, header_type = types.types["builtin_interfaces/msg/Time"], types.types["std_msgs/msg/Header"]
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        connection = bag.add_connection(CAMERA, COMPRESSED_IMAGE, typestore=types)
        for index in range(frames):
            time_ns = (1_700_000_000 + start_s) * 10**9 + index * 10**9 // RATE
            header = header_type(stamp=time_type(*divmod(time_ns, 10**9)), frame_id="camera")
            message = types.types[COMPRESSED_IMAGE](header=header, format="jpeg", data=data)
            bag.write(connection, time_ns, types.serialize_cdr(message, COMPRESSED_IMAGE))
    return path


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--what", nargs="*", choices=("overhead", "memory", "bags"), default=["overhead", "memory", "bags"]
    )
    parser.add_argument("--engine", default="auto", help="for overhead")
    parser.add_argument("--precision", default="auto", help="for overhead")
    parser.add_argument("--frames", type=int, default=20, help="for overhead, in each turn")
    parser.add_argument("--turns", type=int, default=5, help="for overhead")
    parser.add_argument("--minutes", type=float, default=10, help="for memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ")
    report: dict[str, Any] = {
        "machine": {
            "cpu": cpu.partition(": ")[2],
            "cpus": os.cpu_count(),
            "load_average_before": round(os.getloadavg()[0], 2),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
    }
    if "overhead" in arguments.what:
        report["overhead"] = overhead(arguments.turns, arguments.frames, arguments.engine, arguments.precision)
    if "memory" in arguments.what:
        report["memory"] = memory(arguments.minutes)
    if "bags" in arguments.what:
        report["bags"] = per_bag((10, 100, 1000))
    print(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
