"""Which past frames are given beside the present one: how many, how far apart, what is kept for them. Data only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from omnivla_vision.errors import VisionError

# More than any policy looks back (OpenTrackVLA: 31), and names enough for a message.
MAX_FRAMES = 256
# Frames kept for them at most; 512 serve 31 frames a second apart.
MAX_KEPT = 8192
_FRAMES = re.compile(r"[1-9]\d{0,3}")
_SECONDS = re.compile(r"(\d{1,4})(?:\.(\d{1,9}))?s")


class HistoryError(VisionError):
    """Base of the reasons for which past frames cannot be had."""


class UnknownSpacingError(HistoryError):
    """A spacing's name cannot be read."""


class HistoryLengthError(HistoryError):
    """There are too many past frames, or fewer than none, or too many would have to be kept for them."""


class HistoryToleranceError(HistoryError):
    """The tolerance is negative, wider than half of the spacing, or given for a spacing in frames, which needs none."""


@dataclass(frozen=True)
class Spacing:
    """From one past frame to the next: so many encoded frames, or so much time by their stamps. One of them is 0."""

    frames: int = 0
    ns: int = 0

    def __str__(self) -> str:
        return str(self.frames) if self.frames else _seconds(self.ns)

    def age(self, index: int) -> str:
        """What the past frame of that index is called, from 1 for the newest: `t-3f` in frames, `t-1.5s` in seconds."""
        return f"t-{index * self.frames}f" if self.frames else f"t-{_seconds(index * self.ns)}"


def get_spacing(name: str) -> Spacing:
    """Read a spacing: `1`, every frame that was encoded; `0.5s`, by stamps.

    Raises:
        UnknownSpacingError: it is something else, or zero.
    """
    if _FRAMES.fullmatch(name):
        return Spacing(frames=int(name))
    if match := _SECONDS.fullmatch(name):
        ns = int(match[1]) * 10**9 + int((match[2] or "").ljust(9, "0"))
        if ns:
            return Spacing(ns=ns)
    raise UnknownSpacingError(
        f"found spacing {name!r} of past frames; expected a number of frames such as 1 or 5, or seconds such as 0.5s"
    )


@dataclass(frozen=True, kw_only=True)
class History:
    """Past frames, each encoded once when it was the present one.

    Attributes:
        frames: how many; 0 for none.
        spacing: how far apart.
        tolerance_ns: how far a frame's stamp may be from the moment it stands for; 0 for half of the spacing: then a
            camera that is at least as fast as the spacing leaves no place empty. Of a spacing in seconds only.

    Raises:
        HistoryLengthError, HistoryToleranceError: see there.
    """

    frames: int = 0
    spacing: Spacing = Spacing(frames=1)
    tolerance_ns: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.frames <= MAX_FRAMES:
            raise HistoryLengthError(f"found a history of {self.frames} frames; expected 0 to {MAX_FRAMES}")
        if self.tolerance_ns and self.spacing.frames:
            raise HistoryToleranceError(
                f"found a tolerance of {self.tolerance_ns / 1e9:g} s for a spacing of {self.spacing} frames; expected "
                "none, since frames are counted; leave it out, or name a spacing in seconds such as 0.5s"
            )
        if not 0 <= self.tolerance_ns <= self.spacing.ns // 2:
            raise HistoryToleranceError(
                f"found a tolerance of {self.tolerance_ns / 1e9:g} s for frames {self.spacing} apart; expected 0 to "
                f"{self.spacing.ns / 2e9:g} s, half of that, beyond which a frame would stand for two moments"
            )
        if self.kept > MAX_KEPT:
            raise HistoryLengthError(
                f"found a history of {self.frames} frames {self.spacing} apart, for which {self.kept} would be kept; "
                f"expected no more than {MAX_KEPT}; take fewer, or closer ones"
                + (", or a wider tolerance" if self.spacing.ns else "")
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The past frames', the newest first."""
        return tuple(self.spacing.age(index) for index in range(1, self.frames + 1))

    def image_names(self, cameras: Sequence[str]) -> tuple[str, ...]:
        """The past images', the newest first: the frames' names, with the camera's in front where there are several."""
        if len(cameras) == 1:
            return self.names
        return tuple(f"{camera} {name}" for name in self.names for camera in cameras)

    @property
    def tolerance(self) -> int:
        """In nanoseconds; of a spacing in seconds."""
        return self.tolerance_ns or self.spacing.ns // 2

    @property
    def thinning(self) -> int:
        """Nanoseconds; a frame that follows the last kept one by less is not kept: an eighth of the tolerance.

        So a frame that is given is further from its moment than the best one that ever was by less than that.
        """
        return max(1, self.tolerance // 8)

    @property
    def kept(self) -> int:
        """Frames that are kept at most.

        In frames: all of the last `frames * spacing`, since each will be wanted. In seconds: the oldest that can be
        wanted is `frames * spacing + tolerance` old, and within that there is one every `thinning` at most. With the
        tolerance at half of the spacing these are 16 * frames + 9, whatever the camera's rate.
        """
        if not self.frames:
            return 0
        if self.spacing.frames:
            return self.frames * self.spacing.frames
        return (self.frames * self.spacing.ns + self.tolerance) // self.thinning + 1


def _seconds(ns: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    return f"{seconds}.{f'{rest:09d}'.rstrip('0') or '0'}s"


NO_HISTORY = History()
