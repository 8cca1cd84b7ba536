"""All of an image in a square, its proportions kept: resized first, then padded; or its centre in its own pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from omnivla_vision.images.resize import image_of, planes_of, scale
from omnivla_vision.images.rgb import Image


def fit_into(image: Image, size: int, *, antialias: bool = True) -> Image:
    """The longer side becomes `size`, the other is rounded down, to one pixel at least: uint8 [H, W, 3] of other sides.

    PIL's bilinear `resize` to one level; without antialias torch's `interpolate` of the image in float32, rounded.
    """
    height, width = image.shape[:2]
    ratio = max(height, width) / size
    sides = max(1, int(height / ratio)), max(1, int(width / ratio))
    planes = planes_of(image)
    if antialias or sides == (height, width):
        return image_of(scale(planes, sides, "bilinear"))
    # Channel by channel: in float32 a whole image of the largest size takes 400 MB.
    channels = [F.interpolate(plane.float(), size=sides, mode="bilinear") for plane in planes.split(1, dim=1)]
    return image_of(torch.cat(channels, dim=1).round_().to(torch.uint8))


def pad(image: Image, size: int, fill: tuple[int, int, int], *, corner: bool = False) -> Image:
    """Equal borders around a side shorter than `size`, the odd pixel behind: uint8 [H, W, 3] of other sides.

    Of a `corner` all of them are in front.
    """
    height, width = image.shape[:2]
    out = np.empty((max(size, height), max(size, width), 3), np.uint8)
    out[:] = fill
    borders = out.shape[0] - height, out.shape[1] - width
    top, left = borders if corner else (border // 2 for border in borders)
    out[top : top + height, left : left + width] = image
    return out


def centre(image: Image, height: int, width: int) -> Image:
    """uint8 [H, W, 3] -> [height, width, 3]: first what is missing in black, the odd pixel behind, then the middle."""
    borders = [max(0, wanted - found) for wanted, found in zip((height, width), image.shape[:2], strict=True)]
    if any(borders):
        image = np.pad(image, [*((border // 2, border - border // 2) for border in borders), (0, 0)])
    top, left = round((image.shape[0] - height) / 2), round((image.shape[1] - width) / 2)
    return image[top : top + height, left : left + width]
