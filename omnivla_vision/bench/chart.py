"""The report as a bar chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from omnivla_vision.tokens.pictures import save_png

WIDTH, ROW, MARGIN, LABELS, NUMBERS = 1000, 30, 24, 250, 190
INK, PALE = (32, 40, 48), (106, 118, 130)
COLOURS = {"float32": (72, 120, 168), "bfloat16": (63, 155, 108), "float16": (138, 111, 176), "mixed": (176, 96, 140),
           "int8": (208, 138, 60)}  # fmt: skip
REFERENCE = (160, 168, 176)
TITLE, TEXT = 0.7, 0.5  # sizes as OpenCV counts them


def draw(report: dict[str, Any], path: Path) -> None:
    """Write a PNG, whatever the file's name: a bar per result for one image with a cached goal, the reference's above.

    Bars are milliseconds per tick, shorter is better.
    """
    rows = [(f"{row['engine']} {row['precision']}", row) for row in report["results"] if row["images"] == 1]
    bars = [(name, row["latency_ms"]["median"], COLOURS[row["precision"]], _gain(row)) for name, row in rows]
    bars.sort(key=lambda bar: -bar[1])
    if report["reference"]:
        bars.insert(0, ("timm float32, both images", report["reference"]["latency_ms"]["median"], REFERENCE, ""))
    picture = np.full((2 * MARGIN + 70 + ROW * len(bars), WIDTH, 3), 255, np.uint8)

    def write(x: int, y: int, text: str, size: float = TEXT, ink: tuple[int, int, int] = INK) -> None:
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)

    write(MARGIN, MARGIN + 18, f"{report['preset']}: milliseconds per camera frame", TITLE)
    described = report["machine"]
    subtitle = f"{described['cpu']}, {described['threads']} threads, torch {described['torch']}; shorter is better"
    write(MARGIN, MARGIN + 42, subtitle, ink=PALE)
    longest = max((bar[1] for bar in bars), default=1.0)
    room = WIDTH - LABELS - NUMBERS - 2 * MARGIN
    for index, (name, ms, colour, gain) in enumerate(bars):
        top = MARGIN + 70 + ROW * index
        left, right = MARGIN + LABELS, MARGIN + LABELS + max(2, int(room * ms / longest))
        write(MARGIN, top + 17, name)
        picture[top : top + ROW - 7, left : right + 1] = colour
        write(right + 8, top + 17, f"{ms:.0f} ms  {gain}".rstrip())
    save_png(path, picture)


def _gain(row: dict[str, Any]) -> str:
    return f"{row['speedup_vs_reference']:.1f} x" if row["speedup_vs_reference"] else ""
