"""Which wrong computations the gate refuses, on which weights and at which precision; a table for docs/engines.md.

    python -m benchmarks.gate_matrix --json benchmarks/results/gate_matrix.json

Every mistake is computed in the precision in question, with the engine that runs it on this CPU; float16 and mixed,
which CPUs are slow in, with torch's own operations on the images of a start. About 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from omnivla_vision.engine import machine, onednn
from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.fold import fold
from omnivla_vision.engine.graph import typed_graph
from omnivla_vision.engine.parity import features, judge
from omnivla_vision.engine.parity_images import ALL_IMAGES, START_IMAGES
from omnivla_vision.engine.reference import Array, Reference, compute_reference
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.realistic_weights import fill_realistic
from test.engine.mistakes import WEIGHTS, Mistake, mistakes, wrong_network
from test.presets import shallow

PRECISIONS = ("float32", "bfloat16", "float16", "mixed", "int8")
RIGHT = Mistake(name="(none)")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--depth", type=int, default=0, help="blocks per encoder (the preset's)")
    parser.add_argument("--weights", nargs="*", default=list(WEIGHTS))
    parser.add_argument("--precision", nargs="*", default=list(PRECISIONS))
    arguments = parser.parse_args()
    preset = get_preset(arguments.preset)
    if arguments.depth:
        preset = shallow(preset, arguments.depth)
    rows = []
    for weights in arguments.weights:
        backbone = build_backbone(preset)
        fill_realistic(backbone, seed=0, oddities=WEIGHTS[weights])
        reference = compute_reference(backbone)
        for precision in arguments.precision:
            for mistake in (RIGHT, *mistakes(precision)):
                row = {"weights": weights, "precision": precision, "mistake": mistake.name}
                row["excess"] = excess(backbone, mistake, precision, reference)
                rows.append(row)
                print(json.dumps(row), flush=True)
    print(table(rows, arguments.precision))
    if arguments.json:
        report = {"machine": machine.description(), "preset": preset.name,
                  "depth": [spec.depth for spec in preset.encoders], "rows": rows}  # fmt: skip
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def excess(backbone: Backbone, mistake: Mistake, precision: str, reference: Reference) -> dict[str, float]:
    """How many times over its limits each concerned encoder is."""
    images = ALL_IMAGES if precision in onednn.PRECISIONS else START_IMAGES
    found = mistake.tokens(run(wrong_network(mistake, backbone), precision, images), backbone.preset)
    results = judge(reference.compare(found, images), precision, reference)
    return {
        result.difference.encoder: round(result.excess, 3)
        for result in results
        if result.difference.encoder in mistake.encoders
    }


def run(backbone: Backbone, precision: str, images: Sequence[int]) -> list[Array]:
    """[images, rows, width] of each encoder as an engine of that precision computes them."""
    spec = EngineSpec(preset=backbone.preset, precision=precision)
    if precision in onednn.PRECISIONS:
        with tempfile.TemporaryDirectory() as folder:
            onednn.build(fold(backbone), spec, Path(folder))
            engine = onednn.load(Path(folder), spec)
        return features(engine, spec, images)
    graph = typed_graph(fold(backbone), spec)
    with torch.inference_mode():
        return features(lambda batch: graph(*batch), spec, images)


def table(rows: list[dict[str, Any]], precisions: Sequence[str]) -> str:
    """Markdown: mistakes by precisions; in a cell the least excess of all weights and encoders (of none, the most)."""
    lines = ["| computation | " + " | ".join(precisions) + " |", "|---" * (len(precisions) + 1) + "|"]
    names = list(dict.fromkeys(row["mistake"].split(" x")[0] for row in rows))
    for name in names:
        cells = []
        for precision in precisions:
            found = [
                value
                for row in rows
                if row["precision"] == precision and row["mistake"].split(" x")[0] == name
                for value in row["excess"].values()
            ]
            cells.append(_short((max if name == RIGHT.name else min)(found)))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


if __name__ == "__main__":
    main()
