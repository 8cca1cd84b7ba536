"""Follows an image path: each step on a uint8 RGB image, as the library computes it that the policy's code calls."""

from __future__ import annotations

from omnivla_vision.images.crop import crop_and_back, crop_and_resize
from omnivla_vision.images.fit import centre, fit_into, pad
from omnivla_vision.images.jpeg import jpeg_round_trip
from omnivla_vision.images.resample import resample
from omnivla_vision.images.rgb import Image, check_rgb
from omnivla_vision.network.image_paths import (
    CentreTo,
    CropAndResize,
    FitInto,
    ImagePath,
    JpegRoundTrip,
    PadTo,
    ResizeTo,
    Step,
    UnlessSize,
)


def follow(image: Image, path: ImagePath) -> Image:
    """Take an image through the steps of a path; without steps it comes back as it is.

    Args:
        image: RGB, uint8, [H, W, 3].
        path: which steps.

    Returns:
        RGB, uint8, [H, W, 3] of other sides.

    Raises:
        NotAnRgbImageError: not uint8 [H, W, 3], or no pixels.
        ImageShapeError: longer or narrower than `check_shape` allows.
    """
    check_rgb(image)
    for step in path.steps:
        image = _do(step, image)
    return image


def _do(step: Step, image: Image) -> Image:
    if isinstance(step, UnlessSize):
        if image.shape[:2] == (step.size, step.size):
            return image
        for inner in step.steps:
            image = _do(inner, image)
        return image
    if isinstance(step, JpegRoundTrip):
        return jpeg_round_trip(image, step.quality, halved=step.chroma == "420")
    if isinstance(step, ResizeTo):
        return resample(image, step.size, step.filter, antialias=step.antialias)
    if isinstance(step, FitInto):
        return fit_into(image, step.size, antialias=step.antialias)
    if isinstance(step, PadTo):
        return pad(image, step.size, step.fill, corner=step.corner)
    if isinstance(step, CentreTo):
        return centre(image, step.height, step.width)
    if isinstance(step, CropAndResize):
        return crop_and_resize(image, step.area, step.size)
    return crop_and_back(image, step.area)
