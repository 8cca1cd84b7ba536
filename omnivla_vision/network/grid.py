"""Patches of an image, or what is pooled from them, in rows and columns."""

from __future__ import annotations

from typing import NamedTuple


class Grid(NamedTuple):
    """Token t lies at (t // width, t % width)."""

    height: int
    width: int

    @property
    def tokens(self) -> int:
        """How many there are."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"
