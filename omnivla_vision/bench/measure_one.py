"""One measured process: starts what it is told to, says so, then runs ticks on request. Started by `runner`.

A process of its own per engine, so that its memory and its start-up are its own. Requests are numbers of ticks, one a
line on stdin; replies are one JSON object a line on stdout.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omnivla_vision.network.presets import Preset, get_preset

FRAME_SIZE = (480, 640)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker does.

    Attributes:
        role: "build", "engine", "reference" or "roof".
        depth: blocks per encoder; 0 means the preset's own.
        weights: how the random weights are distributed. The reference has timm's own: its arithmetic takes as long
            whatever the numbers.
    """

    role: str
    preset: str
    depth: int = 0
    engine: str = ""
    precision: str = ""
    images: int = 1
    seed: int = 0
    weights: str = "plain"
    bundle_dir: str = ""


def job_preset(job: Job) -> Preset:
    """The job's preset, with fewer blocks if it says so."""
    preset = get_preset(job.preset)
    if not job.depth:
        return preset
    encoders = tuple(dataclasses.replace(spec, depth=min(job.depth, spec.depth)) for spec in preset.encoders)
    return dataclasses.replace(preset, encoders=encoders)


def main() -> int:
    """Run the job in argv[1]."""
    job = Job(**json.loads(sys.argv[1]))
    tick, facts = {"engine": _engine, "build": _build, "reference": _reference, "roof": _roof}[job.role](job)
    if tick is None:
        _reply(facts)
        return 0
    tick()
    from omnivla_vision.engine import machine

    _reply({**facts, "rss_mb": machine.resident_bytes() / 1e6})
    for line in sys.stdin:
        _reply({"ms": [_milliseconds(tick) for _ in range(int(line))]})
    return 0


Started = tuple[Callable[[], object] | None, dict[str, Any]]


def _engine(job: Job) -> Started:
    """An engine from its bundle, which must be there: a frame with a cached goal, or two images at once."""
    from omnivla_vision.encoder import VisionEncoder
    from omnivla_vision.goal import Goal
    from omnivla_vision.images.preprocess import Preprocessor

    started = _start(job, read_only=True)
    preset = started.spec.preset
    facts = {name: started.bundle.notes[name] for name in ("build_s", "parity", "bfloat16")}
    facts["precision"] = started.engine.precision
    current, goal = _frames()
    if job.images == 1:
        encoder = VisionEncoder(started.engine, preset, weights="random", fingerprint="")
        encoder.set_goal(Goal(rgb=goal))
        return lambda: encoder.encode(current), facts
    preprocess = Preprocessor(preset)
    pictures = [current, goal] * (job.images // 2)
    return lambda: started.engine(preprocess.pixels(pictures)), facts


def _build(job: Job) -> Started:
    _start(job, read_only=False)
    return None, {}


def _start(job: Job, *, read_only: bool) -> Any:
    from omnivla_vision.engine.base import EngineSpec
    from omnivla_vision.engine.start import forget_refusal, start
    from omnivla_vision.engine.store import BundleStore
    from omnivla_vision.weights import ODDITIES, random_weights

    weights = random_weights(job_preset(job), seed=job.seed, oddities=ODDITIES[job.weights])
    spec = EngineSpec(preset=weights.preset, precision=job.precision, images=job.images)
    store = BundleStore(Path(job.bundle_dir), read_only=read_only)
    if not read_only:  # to measure is to try
        forget_refusal(spec, job.engine, weights.fingerprint, store)
    return start(weights.load, spec, job.engine, weights.fingerprint, store)


def _reference(job: Job) -> Started:
    """Timm's models in float32, both images in turn, as the policy's public code runs them at every tick."""
    from omnivla_vision.bench.timm_models import TimmPair
    from omnivla_vision.images.preprocess import Preprocessor

    preset = job_preset(job)
    pair, preprocess, frames = TimmPair(preset), Preprocessor(preset), _frames()
    return lambda: [pair(*preprocess([frame])) for frame in frames], {}


def _roof(job: Job) -> Started:
    from omnivla_vision.bench.work import matrix_roof

    return None, {"operations_per_s": matrix_roof(job.precision)}


def _frames() -> list[Any]:
    """Two VGA frames of noise; the numbers in an image do not change how long it takes."""
    import numpy as np

    generator = np.random.default_rng(1)
    return [generator.integers(0, 256, (*FRAME_SIZE, 3), dtype=np.uint8) for _ in range(2)]


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def _reply(content: dict[str, Any]) -> None:
    print(json.dumps(content), flush=True)


def command(job: Job) -> list[str]:
    """How to start a worker."""
    return [sys.executable, "-m", "omnivla_vision.bench.measure_one", json.dumps(asdict(job))]


if __name__ == "__main__":
    sys.exit(main())
