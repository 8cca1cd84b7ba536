"""A folder of numbered images, as visualnav-transformer's create_topomap.py writes it: 0.png, 1.png, ..., 10.png."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from omnivla_vision.goal_sequence.errors import BadGoalImageError, GoalNumberingError, NoGoalSequenceError
from omnivla_vision.goal_sequence.source import Image, Picture
from omnivla_vision.images.files import ImageFileError, read_rgb
from omnivla_vision.images.numbered import ImageNumberingError, numbered_images


class FolderSource:
    """The images of a folder, in the order of their numbers.

    Args:
        path: the folder.
        max_pixels: larger images are refused.

    Raises:
        NoGoalSequenceError: no folder, or no images in it.
        GoalNumberingError: an image's name is no number, or two have the same.
    """

    def __init__(self, path: Path, *, max_pixels: int) -> None:
        self.path = path
        self.files = numbered_files(path)
        self._max_pixels = max_pixels

    @property
    def most(self) -> int:
        """How many there are."""
        return len(self.files)

    def parts(self) -> Iterator[bytes]:
        """Names and contents of the files: the same ones elsewhere are the same sequence."""
        for file in self.files:
            yield file.name.encode() + hashlib.sha256(_content(file)).digest()

    def pictures(self) -> Iterator[Picture]:
        """Read one after the other.

        Raises:
            BadGoalImageError: one is no image.
        """
        for file in self.files:
            yield Picture(file.name, self.picture(file.name))

    def picture(self, name: str) -> Image:
        """Read one again, uint8 [H, W, 3].

        Raises:
            BadGoalImageError: it is no image.
        """
        try:
            return read_rgb(self.path / name, max_pixels=self._max_pixels)
        except ImageFileError as error:
            raise BadGoalImageError(
                f"{error}; expected every image of the goal sequence {self.path} to be one; repair it, or take it out"
            ) from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadGoalImageError(
            f"found {file}, which cannot be read ({error.strerror}); correct its permissions, or take it out"
        ) from error


def numbered_files(folder: Path) -> tuple[Path, ...]:
    """The images of a folder by their numbers; gaps are allowed, files of other kinds and hidden ones do not count.

    Raises:
        NoGoalSequenceError: no folder, or no images in it.
        GoalNumberingError: an image's name is no number, or two have the same.
    """
    try:
        by_number = numbered_images(folder)
    except OSError as error:
        raise NoGoalSequenceError(
            f"found {folder}: {error.strerror}; expected a folder of images 0.png, 1.png, ..., or a bag"
        ) from error
    except ImageNumberingError as error:
        raise GoalNumberingError(str(error)) from error
    if not by_number:
        raise NoGoalSequenceError(f"found no image in {folder}; expected 0.png, 1.png, ... (or .jpg, .webp)")
    return tuple(by_number.values())
