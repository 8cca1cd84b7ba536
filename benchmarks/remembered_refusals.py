"""What remembered refusals add to a start: `auto` with none, and with several, in processes of their own, in turn.

    python benchmarks/remembered_refusals.py --json benchmarks/results/remembered_refusals.json

The engines refused are such as this machine could try; the store also remembers others' refusals, which only have to be
read. What is timed goes from the call of `build_engine` to the turn of the engine that is used; added is the difference
between the two starts of a pair, by the clock and of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from omnivla_vision.engine import machine, refusals, select
from omnivla_vision.engine.base import Engine, EngineFailedError, EngineSpec
from omnivla_vision.engine.parity_images import parity_images_id
from omnivla_vision.engine.start import bundle_key, get_backend
from omnivla_vision.engine.store import BundleStore
from omnivla_vision.network.presets import get_preset
from omnivla_vision.weights import random_weights

PRESET = "small"
REFUSED = [("inductor", "bfloat16"), ("inductor", "float32"), ("onednn", "int8"), ("onednn", "float32"),
           ("eager", "bfloat16")]  # fmt: skip
USED = ("eager", "float32")
OTHERS = 20


def start(store: Path, refused: list[tuple[str, str]]) -> tuple[Engine, dict[str, float]]:
    """`auto` where `refused` would be better than USED, and the milliseconds it took."""
    weights = random_weights(get_preset(PRESET), seed=0)
    plan = [(engine, precision, "") for engine, precision in (*refused, USED)]
    reached: list[tuple[float, float]] = []
    run = select.start
    parity_images_id()  # the gate's images, which any start reads, sooner or later

    def noting(backbone: Any, spec: EngineSpec, name: str, *arguments: Any, **options: Any) -> Any:
        if (name, spec.precision) == USED:
            reached.append(now())
        return run(backbone, spec, name, *arguments, **options)

    with mock.patch.object(select, "candidates", return_value=plan), mock.patch.object(select, "start", noting):
        began = now()
        engine = select.build_engine(
            weights.load, preset=weights.preset, fingerprint=weights.backbone_fingerprint, bundle_dir=store
        )
    clock, processor = (after - before for before, after in zip(began, reached[0], strict=True))
    return engine, {"clock": clock * 1e3, "processor": processor * 1e3}


def now() -> tuple[float, float]:
    """Seconds by the clock, and of the processor's time for this process."""
    return time.perf_counter(), time.process_time()


def remember(store: Path) -> None:
    """Fill a store with refusals."""
    weights = random_weights(get_preset(PRESET), seed=0)
    kept = refusals.Refusals(BundleStore(store))
    for fingerprint in (weights.backbone_fingerprint, *(f"weights {number}" for number in range(OTHERS))):
        for name, precision in REFUSED if fingerprint == weights.backbone_fingerprint else REFUSED[:1]:
            key = bundle_key(get_backend(name), EngineSpec(preset=weights.preset, precision=precision), fingerprint)
            try:
                with kept.remembering(key):
                    raise EngineFailedError(f"engine {name} in {precision} could not be built: RuntimeError: a reason")
            except EngineFailedError:
                pass


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--one", type=Path, metavar="STORE", help=argparse.SUPPRESS)
    parser.add_argument("--refused", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        engine, taken = start(arguments.one, REFUSED[: arguments.refused])
        if engine.notice.count("(remembered from ") != arguments.refused:
            sys.exit(f"not what should be measured: {engine.notice}")
        print(json.dumps(taken))
        return
    load = os.getloadavg()[0]
    rows: dict[int, list[dict[str, float]]] = {0: [], len(REFUSED): []}
    with tempfile.TemporaryDirectory() as folder:
        for number in rows:
            start(Path(folder) / str(number), [])
        remember(Path(folder) / str(len(REFUSED)))
        for _ in range(arguments.pairs):
            for number, taken in rows.items():
                command = [sys.executable, __file__, "--one", str(Path(folder) / str(number)), "--refused", str(number)]
                taken.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    without, with_refusals = rows.values()
    added = {
        name: [more[name] - less[name] for more, less in zip(with_refusals, without, strict=True)]
        for name in ("clock", "processor")
    }
    report = {
        "machine": {
            "cpu": machine.description()["cpu"],
            "cores": os.cpu_count(),
            "load_average_before": round(load, 2),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "preset": PRESET,
        "pairs": arguments.pairs,
        "refused": [" ".join(choice) for choice in REFUSED],
        "refusals_of_others": OTHERS,
        "added_ms": {
            name: {"median": round(statistics.median(taken), 1), "max": round(max(taken), 1)}
            for name, taken in added.items()
        },
    }
    print(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
