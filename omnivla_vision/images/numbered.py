"""Folders of images whose names are numbers: 0.png, 1.png, ..., 10.png, as visualnav-transformer has them."""

from __future__ import annotations

from pathlib import Path

from omnivla_vision.errors import VisionError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")


class ImageNumberingError(VisionError):
    """An image's name is no number, or two have the same."""


def numbered_images(folder: Path) -> dict[int, Path]:
    """The images of a folder in the order of their numbers; files of other kinds and hidden ones do not count.

    Raises:
        OSError: no folder, or one that cannot be read.
        ImageNumberingError: an image's name is no number, or two have the same.
    """
    images = [path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and path.name[0] != "."]
    by_number: dict[int, Path] = {}
    for path in sorted(images):
        if not (path.stem.isascii() and path.stem.isdigit()):
            raise ImageNumberingError(
                f"found {path.name} in {folder}; expected images 0.png, 1.png, ... whose names say their order; rename "
                "it, or take it out"
            )
        other = by_number.setdefault(int(path.stem), path)
        if other is not path:
            raise ImageNumberingError(
                f"found {other.name} and {path.name} in {folder}; expected one image of each number; take one out"
            )
    return dict(sorted(by_number.items()))
