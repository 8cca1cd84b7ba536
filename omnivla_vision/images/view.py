"""Cuts a camera's image down to its region, and fills what its mask hides."""

from __future__ import annotations

from omnivla_vision.images.opencv import fill
from omnivla_vision.images.raw import ImageError
from omnivla_vision.images.rgb import Image, check_rgb
from omnivla_vision.network.views import Colour, View


class MaskSizeError(ImageError):
    """An image has another size than the mask for it."""


def look(image: Image, view: View, colour: Colour) -> Image:
    """What a view leaves of an image; nothing is copied without a mask, and only what the region leaves with one.

    A mask is never scaled: a camera that changed its resolution may have changed what it sees, too.

    Args:
        image: RGB, uint8, [H, W, 3].
        view: region, in fractions of the image's sides, and mask, as large as the image.
        colour: RGB, 0..255, of what is hidden.

    Returns:
        RGB, uint8, [h, w, 3]; shares its memory with `image` if there is no mask.

    Raises:
        NotAnRgbImageError: not uint8 [H, W, 3], or no pixels.
        ImageShapeError: longer or narrower than `check_shape` allows.
        MaskSizeError: the mask has another size.
    """
    check_rgb(image)
    height, width = image.shape[:2]
    rows, columns = view.region.of(height, width) if view.region else (slice(None), slice(None))
    if view.mask is None:
        return image[rows, columns]
    hidden = view.mask.hidden
    if hidden.shape != (height, width):
        raise MaskSizeError(
            f"found an image of {width}x{height} pixels; expected {hidden.shape[1]}x{hidden.shape[0]}, as its mask "
            "has; give a mask of the camera's size, name the image that it is for, or set the camera back"
        )
    seen = image[rows, columns].copy()
    fill(seen, hidden[rows, columns], colour)
    return seen
