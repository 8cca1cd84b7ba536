"""What of each image is looked at, as data: a region and a mask per camera, in front of the image path."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError
from omnivla_vision.network.region import Region

Kind = TypeVar("Kind")
Named = tuple[tuple[str, Kind], ...]
CAMERA_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
Colour = tuple[int, int, int]


class ViewError(VisionError):
    """Base of the reasons for which regions and masks are refused together."""


class EverythingHiddenError(ViewError):
    """A mask, or what a region leaves of it, hides every pixel."""


class ImageNameError(ViewError):
    """A region or a mask is for an image that there is not, or twice for the same one, or an image has no name."""


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Which of a camera's pixels are never seen.

    Attributes:
        hidden: bool [H, W], as large as the camera's images.
        digest: SHA-256, in hexadecimal, over size and pixels: however the file stores them.

    Raises:
        EverythingHiddenError: no pixel is left.
    """

    hidden: NDArray[np.bool_] = field(compare=False, repr=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.hidden.shape
        if self.hidden.all():
            raise EverythingHiddenError(
                f"found a mask of {width}x{height} pixels that hides all of them; expected some to be left; white is "
                "what is hidden, black what is seen"
            )
        content = f"{height}x{width}:".encode() + np.packbits(self.hidden).tobytes()
        object.__setattr__(self, "digest", hashlib.sha256(content).hexdigest())

    def id(self, fill: Colour) -> str:
        """Its size, its content and what it is filled with, as it stands in a preprocessing id."""
        height, width = self.hidden.shape
        return f"mask:{width}x{height}:{self.digest}:fill={','.join(map(str, fill))}"


@dataclass(frozen=True, kw_only=True)
class View:
    """What of one image is looked at: all of it, a region, what a mask leaves, or both."""

    region: Region | None = None
    mask: Mask | None = None


@dataclass(frozen=True, kw_only=True)
class Views:
    """Regions and masks by the name of the image: a camera's, or "goal".

    The one without a name ("") is for every image that has none of its own, **the goal too**: a goal image is usually
    taken by the robot's own camera, with the same body in it.
    """

    regions: Named[Region] = ()
    masks: Named[Mask] = ()

    def of(self, name: str = "") -> View:
        """What of an image is looked at.

        Raises:
            ImageNameError: the image has no name, and not all are treated alike.
        """
        regions, masks = dict(self.regions), dict(self.masks)
        if not name and not {*regions, *masks} <= {""}:
            raise ImageNameError(
                "found an image without a name; expected one of those that regions and masks are for, "
                f"{', '.join(sorted({*regions, *masks} - {''}))}, or another; say which image it is"
            )
        return View(region=regions.get(name, regions.get("")), mask=masks.get(name, masks.get("")))

    def among(self, names: Sequence[str]) -> Views:
        """The same for these images, written in one way only, so that equal treatment has equal ids.

        Raises:
            ImageNameError: a region or a mask for another image.
            EverythingHiddenError: a mask hides all that a region leaves.
        """
        for what, entries in (("region", self.regions), ("mask", self.masks)):
            for name, _ in entries:
                if name and name not in names:
                    raise ImageNameError(
                        f"found a {what} for {name!r}; expected a camera's name or the goal's: one of "
                        f"{', '.join(names)}, or no name, for all of them"
                    )
        views = {name: self.of(name) for name in names}
        for name, view in views.items():
            if view.region and view.mask and view.mask.hidden[view.region.of(*view.mask.hidden.shape)].all():
                raise EverythingHiddenError(
                    f"found a mask for {name!r} that hides all that {view.region.id} leaves; expected some to be seen; "
                    "white is what is hidden, black what is seen"
                )
        regions = {name: view.region for name, view in views.items()}
        masks = {name: view.mask for name, view in views.items()}
        return Views(regions=_canonical(regions), masks=_canonical(masks))

    def ids(self, fill: Colour) -> list[str]:
        """Every region and mask with the name of its image and all numbers, as they stand in a preprocessing id."""
        entries = [(name, region.id) for name, region in self.regions]
        entries += [(name, mask.id(fill)) for name, mask in self.masks]
        return [f"{name}={text}" if name else text for name, text in entries]


def _canonical(entries: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Without regions that leave everything; without names where all images are treated alike."""
    entries = {name: None if value == Region() else value for name, value in entries.items()}
    values = list(entries.values())
    if values and all(value == values[0] for value in values):
        entries = {"": values[0]}
    return tuple((name, value) for name, value in entries.items() if value is not None)


def named_entries(text: str) -> Named[str]:
    """`A`, or `NAME=A; OTHER=B`: what each image is given, by its name, "" for all others.

    Raises:
        ImageNameError: two for the same image.
    """
    entries: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, equals, value = part.partition("=")
        if not (equals and CAMERA_NAME.fullmatch(name.strip())):
            name, value = "", part
        name = name.strip()
        if name in entries:
            whom = f"for {name!r}" if name else "without a name"
            raise ImageNameError(
                f"found {entries[name]!r} and {value!r} {whom}; expected one; separate those of several images with "
                "semicolons, and name them: front=...; wrist=..."
            )
        entries[name] = value.strip()
    return tuple(entries.items())


# Nothing is cut off and nothing hidden.
WHOLE = Views()
