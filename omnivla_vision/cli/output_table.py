"""A table of what is made of every frame."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from omnivla_vision.tokens.layout import TokenLayout
from omnivla_vision.tokens.packing import DTYPES

COLUMNS = ("output", "pooling", "images", "grid", "shape", "bytes")


def output_table(layout: TokenLayout, dtype: str) -> Table:
    """Every output's name, pooling, images, grid, shape [1, rows, width] and bytes in that number format."""
    table = Table(*COLUMNS)
    for output in layout.outputs:
        shape = [1, output.rows, output.width]
        size = output.rows * output.width * DTYPES[dtype].bits // 8
        names = _shortened(output.image_names)
        table.add_row(
            *(Text(str(cell)) for cell in (output.name, output.pooling, names, output.grid, shape, f"{size:,}"))
        )
    return table


def _shortened(names: Sequence[str]) -> str:
    """All of a few; of many past frames the ends."""
    if len(names) <= 6:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, …, {names[-1]} ({len(names)})"
