"""The bench's chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from omnivla_vision.bench.chart import COLOURS, REFERENCE, draw
from omnivla_vision.images.files import read_rgb


def result(precision: str, ms: float) -> dict[str, Any]:
    return {
        "engine": "eager", "precision": precision, "images": 1, "latency_ms": {"median": ms}, "speedup_vs_reference": 2
    }  # fmt: skip


def test_bars_are_as_long_as_the_frames_take(tmp_path: Path) -> None:
    report = {
        "preset": "small",
        "machine": {"cpu": "a processor", "threads": 2, "torch": "2"},
        "results": [result("float32", 100.0), result("int8", 50.0)],
        "reference": {"latency_ms": {"median": 200.0}},
    }
    draw(report, tmp_path / "bench.png")
    picture = read_rgb(tmp_path / "bench.png")
    lengths = [
        (picture == colour).all(axis=2).sum(axis=1).max() for colour in (REFERENCE, COLOURS["float32"], COLOURS["int8"])
    ]
    assert np.allclose(lengths, np.array([1, 0.5, 0.25]) * lengths[0], atol=2)
    assert lengths[0] > picture.shape[1] / 3
    assert (picture[:, : picture.shape[1] // 5] < 128).any()  # the labels
