"""A sheet of pictures for people: the images of a frame in a row, and below each what every output makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from omnivla_vision.images.opencv import thumbnail
from omnivla_vision.network.grid import Grid
from omnivla_vision.tokens.pictures import Features, Image, PcaBasis

if TYPE_CHECKING:
    from omnivla_vision.tokens.token_set import TokenSet

GAP, LINE = 8, 20


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One output: its tokens [grid.tokens, width] of each image that it has, by the image's name."""

    name: str
    grid: Grid
    tokens: Mapping[str, Features]


def outputs_of(tokens: TokenSet) -> list[Shown]:
    """A token set's outputs; of their features those of the first encoder, which for DINO tell things apart best."""
    return [
        Shown(
            name=output.name,
            grid=output.grid,
            tokens=dict(zip(output.image_names, values[..., : output.segments[0].width].numpy(), strict=True)),
        )
        for output, values in zip(tokens.layout.outputs, tokens.by_name.values(), strict=True)
    ]


def sheet(images: Mapping[str, Image], outputs: Sequence[Shown], *, cell: int = 160) -> Image:
    """Draw it.

    Args:
        images: RGB, uint8, [H, W, 3] each, by name; tokens of others are not drawn.
        outputs: below them, in this order. The colours of each are three principal components of all its tokens, so
            that they mean the same across a row.
        cell: the longer side of every picture, in pixels.

    Returns:
        RGB, uint8, [H, W, 3].
    """
    rows = [_row(list(images), list(images.values()), cell)]
    for output in outputs:
        if not images.keys() & output.tokens.keys():
            continue
        basis = PcaBasis.fit(np.concatenate([output.tokens[name] for name in images if name in output.tokens]))
        cells = [
            basis.picture(output.tokens[name], grid=output.grid, height=cell) if name in output.tokens else None
            for name in images
        ]
        rows.append(_row([f"{output.name}: {output.grid} of each image"], cells, cell))
    return np.concatenate(rows)


def _row(labels: Sequence[str], pictures: Sequence[Image | None], cell: int) -> Image:
    """Pictures side by side, `cell` wide or high, or nothing in a place; a label above each as far as there are."""
    shown = [None if picture is None else _fitted(picture, cell) for picture in pictures]
    height = max(len(picture) for picture in shown if picture is not None)
    row = np.full((LINE + height + GAP, len(shown) * (cell + GAP), 3), 255, np.uint8)
    for column, label in enumerate(labels):
        place = (column * (cell + GAP), LINE - 6)
        cv2.putText(row, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 40, 40), 1, cv2.LINE_AA)
    for column, picture in enumerate(shown):
        if picture is not None:
            left = column * (cell + GAP)
            row[LINE : LINE + picture.shape[0], left : left + picture.shape[1]] = picture
    return row


def _fitted(picture: Image, cell: int) -> Image:
    height, width = (max(1, round(side * cell / max(picture.shape[:2]))) for side in picture.shape[:2])
    return thumbnail(picture, width=width, height=height)
