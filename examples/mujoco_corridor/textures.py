"""Textures for the corridor, drawn from numbers: bricks, planks and tiles as PNG files in memory."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 512


def bricks() -> bytes:
    """A running bond of bricks, each of its own shade."""
    return _masonry(columns=4, rows=10, colour=(168, 92, 66), mortar=(196, 190, 180), shift=0.5, seed=1)


def planks() -> bytes:
    """Floorboards of different lengths."""
    return _masonry(columns=2, rows=8, colour=(150, 111, 72), mortar=(84, 60, 40), shift=0.37, seed=2)


def tiles() -> bytes:
    """Square ceiling tiles."""
    return _masonry(columns=4, rows=4, colour=(222, 222, 214), mortar=(180, 180, 176), shift=0.0, seed=3)


def _masonry(
    *, columns: int, rows: int, colour: tuple[int, int, int], mortar: tuple[int, int, int], shift: float, seed: int
) -> bytes:
    """Rows of blocks with joints between them; each row is shifted by `shift` of a block; RGB colours."""
    random = np.random.default_rng(seed)
    v, u = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    row = np.floor(v * rows).astype(int)
    along = (u * columns + shift * row) % columns
    block = np.floor(along).astype(int)
    shade = random.uniform(0.75, 1.15, (rows, columns))[row, block][..., None]
    picture: NDArray[np.float64] = np.array(colour) * shade + random.normal(0, 9, (SIZE, SIZE, 1))
    joint = (v * rows % 1 < 0.07) | (along % 1 < 0.035)
    picture[joint] = np.array(mortar) + random.normal(0, 6, (int(joint.sum()), 1))
    _, png = cv2.imencode(".png", picture[..., ::-1].clip(0, 255).astype(np.uint8))
    return png.tobytes()
