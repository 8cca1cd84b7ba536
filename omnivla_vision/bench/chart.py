"""The report as a bar chart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, ROW, MARGIN, LABELS, NUMBERS = 1000, 30, 24, 250, 190
INK, PALE = "#202830", "#6a7682"
COLOURS = {"float32": "#4878a8", "bfloat16": "#3f9b6c", "float16": "#8a6fb0", "int8": "#d08a3c"}
REFERENCE = "#a0a8b0"


def draw(report: dict[str, Any], path: Path) -> None:
    """Write a PNG: one bar per result for a single image with a cached goal, the reference's above them.

    Bars are milliseconds per tick, shorter is better.
    """
    rows = [(f"{row['engine']} {row['precision']}", row) for row in report["results"] if row["images"] == 1]
    bars = [(name, row["latency_ms"]["median"], COLOURS[row["precision"]], _gain(row)) for name, row in rows]
    bars.sort(key=lambda bar: -bar[1])
    if report["reference"]:
        bars.insert(0, ("timm float32, both images", report["reference"]["latency_ms"]["median"], REFERENCE, ""))
    height = 2 * MARGIN + 70 + ROW * len(bars)
    picture = Image.new("RGB", (WIDTH, height), "white")
    canvas = ImageDraw.Draw(picture)
    title, text = ImageFont.load_default(20), ImageFont.load_default(14)
    canvas.text((MARGIN, MARGIN), f"{report['preset']}: milliseconds per camera frame", INK, font=title)
    described = report["machine"]
    subtitle = f"{described['cpu']}, {described['threads']} threads, torch {described['torch']}; shorter is better"
    canvas.text((MARGIN, MARGIN + 30), subtitle, PALE, font=text)
    longest = max((bar[1] for bar in bars), default=1.0)
    room = WIDTH - LABELS - NUMBERS - 2 * MARGIN
    for index, (name, ms, colour, gain) in enumerate(bars):
        top = MARGIN + 70 + ROW * index
        left, right = MARGIN + LABELS, MARGIN + LABELS + max(2, int(room * ms / longest))
        canvas.text((MARGIN, top + 4), name, INK, font=text)
        canvas.rectangle((left, top, right, top + ROW - 8), fill=colour)
        canvas.text((right + 8, top + 4), f"{ms:.0f} ms  {gain}".rstrip(), INK, font=text)
    picture.save(path)


def _gain(row: dict[str, Any]) -> str:
    return f"{row['speedup_vs_reference']:.1f} x" if row["speedup_vs_reference"] else ""
