"""The measurement: every engine in pairs with the reference, A B A B, so that both see the same machine."""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import IO, Any, cast

from omnivla_vision.bench.measure_one import Job, command, job_preset
from omnivla_vision.bench.work import operations
from omnivla_vision.engine import machine
from omnivla_vision.engine.start import ENGINES, get_backend
from omnivla_vision.errors import VisionError

# Ticks of an engine for each one of the reference, which is several times slower.
TICKS_PER_ROUND = 2


class WorkerFailedError(VisionError):
    """A measured process ended early."""


class Worker:
    """A measured process, from the parent's side."""

    def __init__(self, job: Job) -> None:
        started = time.perf_counter()
        self._job = job
        self._process = subprocess.Popen(
            command(job), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.facts = self._reply()
        self.load_s = time.perf_counter() - started

    def ticks(self, count: int) -> list[float]:
        """Milliseconds of each of `count` ticks."""
        requests = cast("IO[str]", self._process.stdin)
        requests.write(f"{count}\n")
        requests.flush()
        return list(self._reply()["ms"])

    def _reply(self) -> dict[str, Any]:
        line = cast("IO[str]", self._process.stdout).readline()
        while line and not line.startswith("{"):  # a library's chatter
            line = cast("IO[str]", self._process.stdout).readline()
        if not line:
            errors = cast("IO[str]", self._process.stderr).read()
            self._process.wait()
            last = errors.strip().splitlines()[-1] if errors.strip() else f"exit code {self._process.returncode}"
            raise WorkerFailedError(f"{self._job.role} {self._job.engine} {self._job.precision}: {last}")
        return dict(json.loads(line))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            cast("IO[str]", stream).close()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure. Empty `engines` or `precisions` mean all that this machine can run."""

    base: Job
    engines: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    images: tuple[int, ...] = (1, 2)
    rounds: int = 5
    reference: bool = True

    def jobs(self) -> list[Job]:
        """One per engine, precision and number of images that can run here."""
        return [
            replace(self.base, role="engine", engine=name, precision=precision, images=images)
            for images in self.images
            for name in self.engines or ENGINES
            for precision in get_backend(name).PRECISIONS
            if precision in (self.precisions or (precision,)) and not get_backend(name).missing(precision)
        ]


def run(plan: Plan, progress: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Measure.

    Args:
        plan: what.
        progress: called with what comes next, how many steps are done, and how many there are.

    Returns:
        The report, as it is written to JSON.

    Raises:
        WorkerFailedError: the reference could not be measured. An engine that fails is reported in `failures`.
    """
    jobs = plan.jobs()
    preset = job_preset(plan.base)
    precisions = list(dict.fromkeys(job.precision for job in jobs))
    steps = len(precisions) + 2 * len(jobs)
    done = 0

    def step(what: str) -> None:
        nonlocal done
        progress(what, done, steps)
        done += 1

    roof = {}
    for precision in precisions:
        step(f"matrix roof in {precision}")
        with _worker(replace(plan.base, role="roof", precision=precision)) as worker:
            roof[precision] = worker.facts["operations_per_s"]
    results: list[dict[str, Any]] = []
    failures: list[str] = []
    has_reference = plan.reference and importlib.util.find_spec("timm") is not None
    with _reference(plan.base if has_reference else None) as reference:
        for job in jobs:
            what = f"{job.engine} {job.precision}, images: {job.images}"
            with _kept(failures):
                step(f"building {what}")
                with _worker(replace(job, role="build")):
                    pass
                step(f"measuring {what}")
                with _worker(job) as worker:
                    results.append(_measure(job, worker, reference, plan.rounds))
        per_image = operations(preset)
        for result in results:
            rate = per_image * result["images"] / (result["latency_ms"]["median"] / 1e3)
            peak = roof[result["precision"]]
            result["fraction_of_roof"] = round(rate / peak, 3) if peak else None
        reference_ms = [ms for result in results for ms in result.pop("reference_ms")]
        return {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": machine.description(),
            "preset": preset.name,
            "weights": plan.base.weights,
            "depth": [spec.depth for spec in preset.encoders],
            "gflop_per_image": round(per_image / 1e9, 1),
            "roof": {precision: round(rate / 1e9, 1) for precision, rate in roof.items()},
            "reference": _reference_report(reference, reference_ms),
            "results": results,
            "failures": failures,
        }


def _measure(job: Job, worker: Worker, reference: Worker | None, rounds: int) -> dict[str, Any]:
    """One row of the table."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        if reference is not None:
            theirs += reference.ticks(1)
        ours += worker.ticks(TICKS_PER_ROUND)
    latency = _summary(ours)
    return {
        "engine": job.engine,
        "precision": worker.facts["precision"],
        "images": job.images,
        "latency_ms": latency,
        "fps": round(1e3 / latency["median"], 2),
        "speedup_vs_reference": round(statistics.median(theirs) / latency["median"], 2) if theirs else None,
        "rss_mb": round(worker.facts["rss_mb"]),
        "load_s": round(worker.load_s, 2),
        "build_s": worker.facts["build_s"],
        "parity": {entry["encoder"]: entry for entry in worker.facts["parity"]},
        "plain_bfloat16": {entry["encoder"]: entry for entry in worker.facts["bfloat16"]},
        "reference_ms": theirs,
    }


def _reference_report(reference: Worker | None, ms: list[float]) -> dict[str, Any] | None:
    if reference is None or not ms:
        return None
    return {
        "path": "timm, float32, two images in turn",
        "images": 2,
        "latency_ms": _summary(ms),
        "rss_mb": round(reference.facts["rss_mb"]),
    }


def _summary(ms: list[float]) -> dict[str, float]:
    ordered = sorted(ms)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    numbers = {"median": statistics.median(ms), "p95": p95, "min": ordered[0], "count": len(ms)}
    return {name: round(number, 2) for name, number in numbers.items()}


@contextmanager
def _kept(failures: list[str]) -> Iterator[None]:
    """One engine's failure is a line in the report, and the others are still measured."""
    try:
        yield
    except WorkerFailedError as error:
        failures.append(str(error))


@contextmanager
def _worker(job: Job) -> Iterator[Worker]:
    worker = Worker(job)
    try:
        yield worker
    finally:
        worker.close()


@contextmanager
def _reference(base: Job | None) -> Iterator[Worker | None]:
    if base is None:
        yield None
        return
    with _worker(replace(base, role="reference")) as worker:
        yield worker
