"""What the rows and the columns of a token set are, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omnivla_vision.errors import VisionError
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.outputs import Pooling
from omnivla_vision.network.views import CAMERA_NAME

FUSED, PROJECTED = "fused", "projected"
SPACES = (FUSED, PROJECTED)
# What the goal's rows are called, and so no camera's.
GOAL = "goal"


def camera_names_problem(names: Sequence[str]) -> str:
    """What is expected of the cameras' names, if these are not as they should be; else empty."""
    bad = [name for name in names if not CAMERA_NAME.fullmatch(name) or name == GOAL]
    if bad or not names or len(set(names)) < len(names):
        return f"one or more different names of letters, digits and underscores, none of them {GOAL!r}"
    return ""


def image_names(cameras: Sequence[str], *, takes_goal: bool) -> tuple[str, ...]:
    """Whose rows a token set has, in their order."""
    return (*cameras, GOAL) if takes_goal else tuple(cameras)


class UnknownSpaceError(VisionError):
    """Tokens are either fused or projected."""


def check_space(space: str) -> None:
    """Refuse a name that is neither.

    Raises:
        UnknownSpaceError: it is not one of SPACES.
    """
    if space not in SPACES:
        raise UnknownSpaceError(f"unknown token space {space!r}; expected one of {', '.join(SPACES)}")


@dataclass(frozen=True)
class Segment:
    """Consecutive columns that belong together."""

    name: str
    width: int


@dataclass(frozen=True, kw_only=True)
class OutputLayout:
    """One output. Rows: the grid's tokens for each of `image_names`, in the grid's order. Columns: the segments."""

    name: str
    pooling: Pooling
    image_names: tuple[str, ...]
    grid: Grid
    segments: tuple[Segment, ...]

    @property
    def tokens_per_image(self) -> int:
        """Tokens of one image."""
        return self.grid.tokens

    @property
    def rows(self) -> int:
        """Tokens of all images."""
        return len(self.image_names) * self.tokens_per_image

    @property
    def width(self) -> int:
        """Features of a token."""
        return sum(segment.width for segment in self.segments)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Images, tokens of each, features of each."""
        return len(self.image_names), self.tokens_per_image, self.width


@dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """The outputs, one after another; most presets have one, and what is said here of images, rows and columns is said
    of the first.

    `space` is "fused" (the encoders' features side by side) or "projected" (behind the checkpoint's projector);
    `past_names` are the images of a history, the newest first.
    """

    outputs: tuple[OutputLayout, ...]
    space: str
    past_names: tuple[str, ...] = ()

    @property
    def image_names(self) -> tuple[str, ...]:
        """Whose rows the first output has."""
        return self.outputs[0].image_names

    @property
    def tokens_per_image(self) -> int:
        """Of the first output."""
        return self.outputs[0].tokens_per_image

    @property
    def grid(self) -> Grid:
        """Of the first output's tokens."""
        return self.outputs[0].grid

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Of the first output."""
        return self.outputs[0].segments

    @property
    def rows(self) -> int:
        """Tokens of all images, of the first output."""
        return self.outputs[0].rows

    @property
    def width(self) -> int:
        """Features of the first output's tokens."""
        return self.outputs[0].width

    def frame_shapes(self, cameras: int) -> list[tuple[int, ...]]:
        """Of each output, [rows, width] of one frame of so many cameras."""
        return [(cameras * output.tokens_per_image, output.width) for output in self.outputs]

    @property
    def elements(self) -> int:
        """Numbers in all outputs together."""
        return sum(output.rows * output.width for output in self.outputs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all outputs in one tensor: [rows, width] where their tokens are equally wide, else [elements]."""
        if len({output.width for output in self.outputs}) > 1:
            return (self.elements,)
        return (sum(output.rows for output in self.outputs), self.width)
