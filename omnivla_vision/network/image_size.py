"""Pixels of an encoder's input."""

from __future__ import annotations

from typing import NamedTuple


class ImageSize(NamedTuple):
    """Height and width; a square is called by one number, as timm's ids and preprocessing ids have it."""

    height: int
    width: int

    @classmethod
    def square(cls, side: int) -> ImageSize:
        """As wide as it is high."""
        return cls(side, side)

    @property
    def is_square(self) -> bool:
        """Whether it is as wide as high."""
        return self.height == self.width

    def __str__(self) -> str:
        return str(self.height) if self.is_square else f"{self.height}x{self.width}"
