"""An image of any size to an encoder's own, as PIL and torchvision do it; the letterbox of long images in strips."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.images.rgb import Image, check_rgb
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.spec import Interpolation, Resize

_PIXELS_AT_A_TIME = 4_000_000


def resize(image: Image, size: ImageSize, how: Resize = Resize()) -> Tensor:  # noqa: B008 - immutable
    """Bring an image of any size to [3, *size] uint8: antialiased (bicubic: a = -0.5), rounded and clamped.

    torch's uint8 kernel works in PIL's fixed-point arithmetic, the width first, and differs from PIL by at most one
    level, by two where it enlarges: from Pillow up to 11.3. Pillow 12 and 13 begin with the height of tall images, and
    round otherwise (docs/image_paths.md). An image of `size` comes back unchanged. The strategies are Prismatic's:
    sizes and offsets are rounded as torchvision's resize and centre crop do it.

    Raises:
        NotAnRgbImageError: not uint8 [H, W, 3], or no pixels.
        ImageShapeError: longer or narrower than `check_shape` allows.
    """
    check_rgb(image)
    if how.strategy == "resize-naive":
        return scale(planes_of(image), size, how.interpolation)[0]
    side = size.height  # of a square: a spec has no others for these strategies
    height, width = image.shape[:2]
    above, before = _borders(height, width) if how.strategy == "letterbox" else (0, 0)
    sides = height + 2 * above, width + 2 * before
    scaled = tuple(int(side * s / min(sides)) for s in sides)
    if above or before:
        planes = _pad_and_scale(image, above, before, scaled, how)
    else:
        planes = scale(planes_of(image), scaled, how.interpolation)
    top, left = (round((s - side) / 2) for s in scaled)
    return planes[0, :, top : top + side, left : left + side]


def _borders(height: int, width: int) -> tuple[int, int]:
    """Equal ones on both sides; where that leaves one pixel too many, the crop after the resize takes it."""
    longer = max(height, width)
    return (longer - height) // 2, (longer - width) // 2


def planes_of(image: Image) -> Tensor:
    """[1, 3, H, W] uint8, in the layout that torch's resize is fast in."""
    if not image.flags.writeable:
        image = image.copy()  # torch cannot express a read-only tensor, and warns of undefined behaviour
    # Transposing a contiguous [H, W, 3] array yields the channels_last layout that the fast kernel wants.
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0)


def image_of(planes: Tensor) -> Image:
    """[1, 3, H, W] uint8 -> [H, W, 3]."""
    return np.ascontiguousarray(planes[0].permute(1, 2, 0).numpy())


def scale(planes: Tensor, sides: tuple[int, ...], interpolation: Interpolation) -> Tensor:
    """PIL's `resize` of [1, 3, H, W] uint8 to other sides, to one level; nothing where the sides are right already."""
    if tuple(planes.shape[2:]) == tuple(sides):
        return planes
    return F.interpolate(planes, size=sides, mode=interpolation, antialias=True)


def _pad_and_scale(image: Image, above: int, before: int, sides: tuple[int, ...], how: Resize) -> Tensor:
    """First the rows, some at a time, then the columns, as torch does it: to the last bit what it makes of the whole
    square, which around 256x16384 pixels would take 0.8 GB.
    """
    height, width = image.shape[:2]

    def scaled_rows(rows: Image) -> Tensor:
        padded = np.empty((len(rows), width + 2 * before, 3), np.uint8)
        padded[:] = how.fill
        padded[:, before : before + width] = rows
        return scale(planes_of(padded), (len(rows), sides[1]), how.interpolation)

    at_a_time = max(1, _PIXELS_AT_A_TIME // (width + 2 * before))
    parts = [scaled_rows(image[start : start + at_a_time]) for start in range(0, height, at_a_time)]
    if above:
        border = scaled_rows(np.full((1, width, 3), how.fill, np.uint8)).expand(-1, -1, above, -1)
        parts = [border, *parts, border]
    return scale(torch.cat(parts, dim=2).contiguous(memory_format=torch.channels_last), sides, how.interpolation)
