"""A part of a camera's image, in fractions of its sides: what is left of it when the robot's own body is cut off."""

from __future__ import annotations

from dataclasses import dataclass

from omnivla_vision.errors import VisionError


class RegionError(VisionError):
    """Base of the reasons for which a region is refused."""


class RegionSyntaxError(RegionError):
    """The text is not four numbers."""


class EmptyRegionError(RegionError):
    """The region has no width or no height."""


class RegionOutsideError(RegionError):
    """The region reaches beyond the image."""


# What sums of decimal fractions, 0.7 + 0.3 for one, may lie above 1.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Region:
    """A rectangle in fractions of an image's sides: (0, 0) is the image's upper left corner, (1, 1) its lower right.

    Attributes:
        x, y: the rectangle's upper left corner.
        width, height: its sides.

    Raises:
        EmptyRegionError: no width or no height.
        RegionOutsideError: not within the image, or no number.
    """

    x: float = 0.0
    y: float = 0.0
    width: float = 1.0
    height: float = 1.0

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise EmptyRegionError(
                f"found region {self._numbers}, whose width is {self.width:g} and whose height is {self.height:g}; "
                "expected x,y,width,height with both above 0"
            )
        ends = [(self.x, self.x + self.width), (self.y, self.y + self.height)]
        if not all(start >= 0 and end <= 1 + _ROUNDING for start, end in ends):
            raise RegionOutsideError(
                f"found region {self._numbers}, which is not within the image; expected x,y,width,height in fractions "
                "of its sides, with x + width and y + height of at most 1; for pixels, divide by width and height"
            )

    @classmethod
    def parse(cls, text: str) -> Region:
        """From `x,y,width,height`, for example `0,0,1,0.8` for all but the lowest fifth.

        Raises:
            RegionError: no four numbers, or no region; the message says what.
        """
        try:
            x, y, width, height = (float(part) for part in text.split(","))
        except ValueError:
            raise RegionSyntaxError(
                f"found region {text!r}; expected four numbers x,y,width,height in fractions of the image's sides, "
                "for example 0,0,1,0.8 for all but the lowest fifth"
            ) from None
        return cls(x=x, y=y, width=width, height=height)

    @property
    def id(self) -> str:
        """The region with every number, as it stands in a preprocessing id."""
        return f"region:{self._numbers}"

    def of(self, height: int, width: int) -> tuple[slice, slice]:
        """Its rows and columns in an image of that size: edges at the nearest pixel's, one pixel at least."""
        return _pixels(self.y, self.height, height), _pixels(self.x, self.width, width)

    @property
    def _numbers(self) -> str:
        return ",".join(f"{value:.9g}" for value in (self.x, self.y, self.width, self.height))


def _pixels(start: float, length: float, side: int) -> slice:
    first = min(int(start * side + 0.5), side - 1)
    end = min(int((start + length) * side + 0.5), side)
    return slice(first, max(end, first + 1))
