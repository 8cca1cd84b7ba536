"""The sheet of a frame's images and outputs."""

from __future__ import annotations

import numpy as np

from omnivla_vision.network.grid import Grid
from omnivla_vision.tokens.sheet import GAP, LINE, Shown, sheet

CELL = 160
ROW, COLUMN = LINE + CELL + GAP, CELL + GAP
IMAGES = {
    "current": np.full((90, 160, 3), (200, 0, 0), np.uint8),
    "t-1f": np.full((160, 90, 3), (0, 200, 0), np.uint8),
}


def test_images_keep_their_proportions_and_tokens_their_place() -> None:
    tokens = np.random.default_rng(0).normal(size=(2, 6, 8))
    fine = Shown(name="fine", grid=Grid(2, 3), tokens={"current": tokens[0]})
    coarse = Shown(name="coarse", grid=Grid(2, 3), tokens=dict(zip(IMAGES, tokens, strict=True)))
    drawn = sheet(IMAGES, [fine, coarse])
    wide = LINE + 107 + GAP  # a grid of 2 x 3 is lower than it is wide
    assert drawn.shape == (ROW + 2 * wide, 2 * COLUMN, 3)
    assert (drawn[LINE : LINE + 90, :160] == (200, 0, 0)).all()
    assert (drawn[LINE + 91 : LINE + CELL, :160] == 255).all()
    assert (drawn[LINE : LINE + 160, COLUMN : COLUMN + 90] == (0, 200, 0)).all()
    below = drawn[ROW + LINE : ROW + wide]
    assert (below[:, :CELL] != 255).any(), "the present image's tokens"
    assert (below[:, COLUMN:] == 255).all(), "the output has none of the past"
    assert (drawn[ROW + wide + LINE :, COLUMN:] != 255).any(), "this one has"


def test_an_output_of_other_images_is_not_drawn() -> None:
    past = Shown(name="past", grid=Grid(1, 1), tokens={"t-2f": np.ones((1, 8))})
    assert np.array_equal(sheet(IMAGES, [past]), sheet(IMAGES, []))


def test_a_single_class_token_has_a_colour() -> None:
    token = Shown(name="class", grid=Grid(1, 1), tokens={"current": np.ones((1, 8))})
    assert len(sheet(IMAGES, [token])) == 2 * ROW
