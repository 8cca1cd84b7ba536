"""Where the images of a sequence come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.goal_sequence.errors import NoGoalSequenceError
from omnivla_vision.images.raw import MAX_PIXELS

Image = NDArray[np.uint8]
BAG_FILES = (".mcap", ".db3")


@dataclass(frozen=True)
class Picture:
    """An image of a sequence, uint8 [H, W, 3], and its name in there."""

    name: str
    rgb: Image


class Source(Protocol):
    """The images of a sequence, read one by one: a thousand of them need not fit into memory."""

    path: Path

    @property
    def most(self) -> int:
        """No more images than this."""
        ...

    def parts(self) -> Iterator[bytes]:
        """What identifies the images, piece by piece, without decoding them."""
        ...

    def pictures(self) -> Iterator[Picture]:
        """All of them, in order; raises BadGoalImageError, which names the first that cannot be used."""
        ...

    def picture(self, name: str) -> Image:
        """One of them again; raises BadGoalImageError."""
        ...


def _is_bag(path: Path) -> bool:
    if path.suffix in BAG_FILES:
        return True
    try:
        return path.is_dir() and any(file.suffix in BAG_FILES for file in path.iterdir())
    except OSError as error:
        raise NoGoalSequenceError(
            f"found {path}, which cannot be looked into ({error.strerror}); correct its permissions, or name another"
        ) from error


def home_expanded(path: str) -> Path:
    """A path, `~` replaced.

    Raises:
        NoGoalSequenceError: there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise NoGoalSequenceError(f"found {path}, and no such home directory; write the whole path") from error


def open_source(path: Path, *, spacing_s: float, max_pixels: int = MAX_PIXELS) -> Source:
    """A folder of numbered images, or a bag, from which an image is taken every `spacing_s` seconds.

    Raises:
        GoalSequenceError: it is none of these, or cannot be one.
        BagError: the bag cannot be read.
    """
    if _is_bag(path):
        # Here and not above: a robot that has folders only need not have the readers of bags.
        from omnivla_vision.goal_sequence.bag import BagSource

        return BagSource(path, spacing_s=spacing_s, max_pixels=max_pixels)
    from omnivla_vision.goal_sequence.folder import FolderSource

    return FolderSource(path, max_pixels=max_pixels)
