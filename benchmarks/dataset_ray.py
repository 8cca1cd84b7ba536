"""How much faster two actors of a Ray on this machine make a dataset than one process, each with one thread.

    OMP_NUM_THREADS=1 python benchmarks/dataset_ray.py --json benchmarks/results/dataset_ray.json

Parts of the sample drive, all of a length, become episodes; committed, as in the command. Three take turns: this
process alone; two plain processes that share the recordings and know nothing of Ray, which is what two cores of this
machine can do at best; and the two actors. The encoders of all are loaded, and warm, before the first turn; what Ray
takes to start is told apart.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
import torch

from omnivla_vision.dataset.cluster.on_ray import RayRunner
from omnivla_vision.dataset.making.run import LocalRunner, Runner, Watcher
from omnivla_vision.dataset.making.worker import Done, Job, Request, Worker
from omnivla_vision.dataset.recordings.bag_recording import open_recording
from omnivla_vision.dataset.recordings.row_options import RowOptions
from omnivla_vision.dataset.store import TokenStore
from omnivla_vision.loading import EncoderOptions
from omnivla_vision.resources import resource_path

RATE = 10
LIMIT = 1.8


class Silent(Watcher):
    """Nobody watches."""


class TwoProcesses(Runner):
    """Every other recording in another process."""

    def __init__(self, request: Request) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes = []
        for _ in range(2):
            ours, theirs = context.Pipe()
            context.Process(target=_serve, args=(request, theirs), daemon=True).start()
            self._pipes.append(ours)
        for pipe in self._pipes:
            pipe.recv()

    def run(self, jobs: Sequence[Job], watcher: Watcher) -> Iterator[Done]:
        """What came of them, in their order."""
        for index, pipe in enumerate(self._pipes):
            pipe.send(jobs[index::2])
        done = [done for pipe in self._pipes for done in pipe.recv()]
        yield from sorted(done, key=lambda done: done.job.index)


def _serve(request: Request, pipe: Any) -> None:
    worker = Worker(request)
    pipe.send("ready")
    with suppress(EOFError):  # the end
        while True:
            pipe.send([worker.work(job) for job in pipe.recv()])


def seconds(runner: Runner, jobs: Sequence[Job], store: TokenStore) -> float:
    """For all of them, committed."""
    started = time.perf_counter()
    for done in runner.run(jobs, Silent()):
        assert done.episode is not None, done.problem
        store.append(done.fragments)
    return time.perf_counter() - started


@contextmanager
def two_actors(request: Request, address: str) -> Iterator[tuple[RayRunner, dict[str, float]]]:
    """On Ray; and what its start and the first encoder took, in seconds."""
    started = time.perf_counter()
    with RayRunner(request, address=address, actors=2) as runner:
        runner.describe()
        yield runner, {"ray_and_first_encoder_s": round(time.perf_counter() - started, 1)}


def measure(preset: str, recordings: int, frames: int, turns: int, address: str) -> dict[str, Any]:
    """Seconds of every turn, and the ratios of their medians."""
    drive = resource_path("resource/sample_drive")
    starts = [number * frames / RATE for number in range(recordings)]
    parts = [open_recording(drive, RowOptions(start_s=at, duration_s=frames / RATE - 0.05))[0] for at in starts]
    jobs = [Job(index, part) for index, part in enumerate(parts)]
    with tempfile.TemporaryDirectory() as folder:
        request = Request(
            uri=str(Path(folder, "out").absolute()),
            encoder=EncoderOptions(preset=preset, engine="eager", threads=1),
        )
        worker = Worker(request)
        with TokenStore(request.uri).held() as store, two_actors(request, address) as (on_ray, start):
            store.create_or_join(worker.description, {}, worker.schema)
            runners: dict[str, Any] = {
                "one_process": LocalRunner(worker),
                "two_processes": TwoProcesses(request),
                "two_actors": on_ray,
            }
            for runner in runners.values():  # the second actor loads
                seconds(runner, jobs[:2], store)
            taken: dict[str, list[float]] = {name: [] for name in runners}
            for _ in range(turns):
                for name, runner in runners.items():
                    taken[name].append(seconds(runner, jobs, store))
    median = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "preset": preset,
        "engine": "eager float32, one thread each",
        "recordings": recordings,
        "frames_each": frames,
        "turns": turns,
        "cluster": address or "of this machine alone",
        **start,
        "seconds": {name: [round(value, 2) for value in values] for name, values in taken.items()},
        "frames_per_s": {name: round(recordings * frames / median[name], 2) for name in taken},
        "two_processes_times_one": round(median["one_process"] / median["two_processes"], 3),
        "two_actors_times_one": round(median["one_process"] / median["two_actors"], 3),
        "limit_times": LIMIT,
    }


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--recordings", type=int, default=6, help="an even number; the drive has 130 frames")
    parser.add_argument("--frames", type=int, default=20, help="of each")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--ray", default="", metavar="ADDRESS", help="of a cluster (one of this machine alone)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ")
    report = {
        "machine": {
            "cpu": cpu.partition(": ")[2],
            "cpus": os.cpu_count(),
            "load_average_before": round(os.getloadavg()[0], 2),
            "torch": torch.__version__,
            "ray": ray.__version__,
            "python": platform.python_version(),
        },
        **measure(arguments.preset, arguments.recordings, arguments.frames, arguments.turns, arguments.ray),
        "load_average_after": round(os.getloadavg()[0], 2),
    }
    print(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
