"""Charts as inline SVG. Colours are CSS classes, so that they follow the reader's light or dark theme."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# A line of more points than pixels is thinned to the extremes of each bin: peaks stay, the file stays small.
POINTS = 600
BINS = 40


@dataclass(frozen=True)
class Series:
    """A named line; `colour` is the number of a colour in the style sheet. A NaN in `y` interrupts the line."""

    name: str
    colour: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """Width and height of a chart, and the margins around the plot, in pixels."""

    width: int
    height: int
    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


CHART = Size(520, 230, left=46, right=14, top=14, bottom=36)
WIDE_CHART = Size(1040, 230, left=46, right=14, top=14, bottom=36)
STRIP = Size(340, 44, left=2, right=2, top=4, bottom=4)
WIDE_STRIP = Size(1040, 44, left=2, right=2, top=4, bottom=4)
SMALL_HISTOGRAM = Size(150, 44, left=2, right=2, top=4, bottom=4)


class _Axis:
    """Maps values to pixels; a range without extent gets one."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
            pad = max(abs(low) * 0.01, 1e-3)
            low, high = low - pad, high + pad
        self.low, self.high, self._first, self._last = low, high, first, last

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self._first + share * (self._last - self._first)

    def ticks(self, count: int) -> list[float]:
        raw = (self.high - self.low) / count
        power = 10 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
        start = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(start, math.floor(self.high / step + 1e-9) + 1)]


def line_chart(
    series: Sequence[Series], *, label: str, x_label: str, marks: Sequence[tuple[float, str]] = (), size: Size = CHART
) -> str:
    """Lines over a common x axis; `marks` are vertical lines with a word each. A legend is left to the page."""
    series = [thinned(line) for line in series if np.isfinite(line.y).any()]
    if not series:
        return '<p class="empty">No values.</p>'
    xs, ys = (np.concatenate([getattr(line, axis) for line in series]) for axis in "xy")
    low, high = float(np.nanmin(ys)), float(np.nanmax(ys))
    pad = 0.06 * (high - low)
    x = _Axis(float(xs.min()), float(xs.max()), size.left, size.width - size.right)
    y = _Axis(low - pad, high + pad, size.height - size.bottom, size.top)
    parts = [] if size.left <= STRIP.left else _axes(x, y, size, x_label)
    for at, word in marks:
        parts += [_line("mark", x(at), x(at), size.top, y(y.low)), _text(x(at) + 4, size.top + 9, word)]
    parts += [f'<path class="line c{line.colour}" d="{_path(line, x, y)}"/>' for line in series]
    data = {
        "unit": x_label,
        "left": size.left,
        "right": size.width - size.right,
        "series": [
            {
                "name": line.name,
                "colour": line.colour,
                "points": [
                    [round(x(a), 1), round(y(b), 1), _number(a), _number(b)]
                    for a, b in zip(line.x.tolist(), line.y.tolist(), strict=True)
                    if math.isfinite(b)
                ],
            }
            for line in series
        ],
    }
    return _svg(parts, label, size, extra=f' data-hover="{escape(json.dumps(data, separators=(",", ":")))}"')


def histogram(values: NDArray[np.float64], *, label: str, unit: str, size: Size = SMALL_HISTOGRAM) -> str:
    """How often each value occurs; every bar tells its range and count."""
    counts, edges = np.histogram(values, bins=min(BINS, max(1, len(np.unique(values)))))
    x = _Axis(float(edges[0]), float(edges[-1]), size.left, size.width - size.right)
    y = _Axis(0, float(counts.max()), size.height - size.bottom, size.top)
    bars = []
    for count, (a, b) in zip(counts.tolist(), pairwise(edges.tolist()), strict=True):
        if count:
            top, width = y(count), max(1.0, x(b) - x(a) - 1)
            bars.append(
                f'<rect class="bar" x="{x(a):.1f}" y="{top:.1f}" width="{width:.1f}" height="{y(0) - top:.1f}">'
                f"<title>{_number(a)} to {_number(b)} {escape(unit)}: {count}</title></rect>"
            )
    return _svg([*bars, _line("grid", size.left, size.width - size.right, y(0), y(0))], label, size)


def thinned(line: Series) -> Series:
    """The line with at most POINTS points: the smallest and the largest of each stretch, in their order."""
    if len(line.x) <= POINTS:
        return line
    keep: list[int] = []
    for chunk in np.array_split(np.arange(len(line.x)), POINTS // 2):
        values = line.y[chunk]
        if np.isfinite(values).any():
            keep += sorted({int(chunk[np.nanargmin(values)]), int(chunk[np.nanargmax(values)])})
        else:
            keep.append(int(chunk[0]))
    return Series(line.name, line.colour, line.x[keep], line.y[keep])


def _axes(x: _Axis, y: _Axis, size: Size, x_label: str) -> list[str]:
    left, right, foot = size.left, size.width - size.right, y(y.low)
    parts = [_line("grid", left, right, y(tick), y(tick)) for tick in y.ticks(4)]
    parts += [_text(left - 7, y(tick) + 3.5, _number(tick), anchor="end") for tick in y.ticks(4)]
    parts += [_text(x(tick), foot + 15, _number(tick), anchor="middle") for tick in x.ticks(6)]
    return [*parts, _text(right, size.height - 5, x_label, anchor="end")]


def _line(css: str, x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text class="tick" text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _path(line: Series, x: _Axis, y: _Axis) -> str:
    steps, pen_down = [], False
    for a, b in zip(line.x.tolist(), line.y.tolist(), strict=True):
        if math.isfinite(b):
            steps.append(f"{'L' if pen_down else 'M'}{x(a):.1f} {y(b):.1f}")
            if not pen_down:
                steps.append(f"L{x(a):.1f} {y(b):.1f}")  # so that a lone point shows as a dot
        pen_down = math.isfinite(b)
    return "".join(steps)


def _svg(parts: Sequence[str], label: str, size: Size, extra: str = "") -> str:
    return (
        f'<svg viewBox="0 0 {size.width} {size.height}" role="img" aria-label="{escape(label)}"{extra}>'
        f"{''.join(parts)}</svg>"
    )


def _number(value: float) -> str:
    """Four significant digits, without an exponent where it can be avoided."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
