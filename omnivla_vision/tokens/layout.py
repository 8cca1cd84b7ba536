"""What the rows and the columns of a token set are, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omnivla_vision.errors import VisionError
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.spec import Preset
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
class TokenLayout:
    """Rows: `tokens_per_image` for each of `image_names`, in the grid's order. Columns: the segments.

    `space` is "fused" (the encoders' features side by side) or "projected" (behind the checkpoint's projector).
    """

    image_names: tuple[str, ...]
    tokens_per_image: int
    grid: Grid
    space: str
    segments: tuple[Segment, ...]

    @property
    def rows(self) -> int:
        """Tokens of all images."""
        return len(self.image_names) * self.tokens_per_image

    @property
    def width(self) -> int:
        """Features of a token."""
        return sum(segment.width for segment in self.segments)


def token_layout(preset: Preset, image_names: tuple[str, ...], projected_width: int | None) -> TokenLayout:
    """The layout of a preset's tokens; projected to `projected_width` features, unless it is None."""
    if projected_width is None:
        space, segments = FUSED, tuple(Segment(spec.name, spec.width) for spec in preset.encoders)
    else:
        space, segments = PROJECTED, (Segment("projector", projected_width),)
    return TokenLayout(
        image_names=image_names,
        tokens_per_image=preset.tokens_per_image,
        grid=preset.grid,
        space=space,
        segments=segments,
    )
