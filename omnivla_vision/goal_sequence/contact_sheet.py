"""Goals for people: an image with its name, and those of a sequence on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from omnivla_vision.goal_sequence.source import Image, Picture
from omnivla_vision.images.opencv import thumbnail

# Of one image on the sheet, in pixels, and of the strip below it that holds its name.
WIDTH, HEIGHT, STRIP = 208, 156, 22
GAP = 6
COLUMNS = 4
WHITE, INK = 255, (40, 40, 40)


def small(picture: Picture, caption: str) -> Picture:
    """An image as it will be on the sheet: all that needs to be kept of it."""
    height, width = picture.rgb.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    return Picture(
        caption,
        thumbnail(picture.rgb, width=max(1, round(width * scale)), height=max(1, round(height * scale))),
    )


def contact_sheet(pictures: Sequence[Picture]) -> Image:
    """RGB uint8 [H, W, 3] of small pictures, in rows, each above its name."""
    columns = min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (HEIGHT + STRIP + GAP) + GAP, columns * (WIDTH + GAP) + GAP, 3), WHITE, np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = GAP + row * (HEIGHT + STRIP + GAP), GAP + column * (WIDTH + GAP)
        height, width = picture.rgb.shape[:2]
        x = left + (WIDTH - width) // 2
        sheet[top : top + height, x : x + width] = picture.rgb
        write_text(sheet, picture.name, left=left + 2, bottom=top + HEIGHT + STRIP - 7)
    return sheet


def captioned(picture: Picture, *, height: int) -> Image:
    """An image of that height with its name in it, RGB uint8 [height, W, 3]."""
    width = max(1, round(picture.rgb.shape[1] * height / picture.rgb.shape[0]))
    result = thumbnail(picture.rgb, width=width, height=height)
    result[-STRIP:] = WHITE
    write_text(result, picture.name, left=4, bottom=height - 7)
    return result


def write_text(picture: Image, text: str, *, left: int, bottom: int) -> None:
    """Write a line into a picture, in place."""
    place, font = (left, bottom), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(picture, text, place, font, 0.45, INK, 1, cv2.LINE_AA)
