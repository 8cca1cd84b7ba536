"""What is published of an image's features: outputs, each a name, a pooling, and whose images it is made of. Data only.

Sources: coarse and fine averages from OpenTrackVLA's cache of tokens, pixel shuffle from SmolVLM's connector, the
padded one from NaVILA's, class tokens from CityWalker; docs/presets.md names the files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from omnivla_vision.errors import VisionError
from omnivla_vision.network.grid import Grid

# Of `present` images: what the cameras see now, and the goal; of `past` ones: the frames that a history keeps.
Scope = Literal["present", "past", "all"]
_AVERAGE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})")
_SHUFFLE = re.compile(r"(padded-)?shuffle:([1-9]\d{0,2})")


class UnknownPoolingError(VisionError):
    """A pooling's name cannot be read."""


class PoolingError(VisionError):
    """A grid cannot be pooled as it is asked for."""


@dataclass(frozen=True)
class Pooling:
    """How an image's patches become tokens.

    Attributes:
        kind: `none`: each is one. `average`: adaptive average pooling to rows x columns, as torch computes it.
            `shuffle`: each rows x columns neighbouring patches become one token, their features side by side (pixel
            shuffle, rows = columns). `class`: no patches, but the class tokens of the encoders that give theirs.
        padded: of a shuffle: zeros stand for the rows and columns that are missing behind the last ones; else the
            patches must divide.
    """

    kind: Literal["none", "average", "shuffle", "class"] = "none"
    rows: int = 1
    columns: int = 1
    padded: bool = False

    def __str__(self) -> str:
        if self.kind == "average":
            return f"{self.rows}x{self.columns}"
        return f"{'padded-' * self.padded}shuffle:{self.rows}" if self.kind == "shuffle" else self.kind

    def grid(self, patches: Grid) -> Grid:
        """The tokens that come of a grid of patches; 1x1 for class tokens.

        Raises:
            PoolingError: the average is finer than the patches, or the shuffle does not divide them.
        """
        if self.kind == "class":
            return Grid(1, 1)
        if self.kind == "average":
            if self.rows > patches.height or self.columns > patches.width:
                raise PoolingError(
                    f"found pooling {self} of {patches} patches; expected no more rows or columns than they have; "
                    "choose a coarser one, or none"
                )
            return Grid(self.rows, self.columns)
        if self.kind == "shuffle":
            height, width = -(-patches.height // self.rows), -(-patches.width // self.columns)
            if not self.padded and (height * self.rows, width * self.columns) != patches:
                average = Grid(max(1, patches.height // self.rows), max(1, patches.width // self.columns))
                raise PoolingError(
                    f"found pooling {self} of {patches} patches; expected a number that divides both; choose another, "
                    f"padded-{self}, or an average such as {average}"
                )
            return Grid(height, width)
        return patches


def get_pooling(name: str) -> Pooling:
    """Read a pooling's name: `none`, `8x8` (rows x columns), `shuffle:4`, `padded-shuffle:2`, `class`.

    Raises:
        UnknownPoolingError: it is something else.
    """
    if name in ("none", "class"):
        return Pooling("none" if name == "none" else "class")
    if match := _AVERAGE.fullmatch(name):
        return Pooling("average", int(match[1]), int(match[2]))
    if match := _SHUFFLE.fullmatch(name):
        return Pooling("shuffle", int(match[2]), int(match[2]), padded=bool(match[1]))
    raise UnknownPoolingError(
        f"found pooling {name!r}; expected none, ROWSxCOLUMNS for an average such as 8x8, shuffle:K for a pixel "
        "shuffle such as shuffle:4 or padded-shuffle:2, or class for the class tokens"
    )


@dataclass(frozen=True)
class Output:
    """One of the sets of tokens that are made of every frame's features."""

    name: str
    pooling: Pooling = Pooling()
    images: Scope = "all"


# What the policies of the OpenVLA family take: every patch, of every image.
WHOLE_GRID = (Output("tokens"),)
