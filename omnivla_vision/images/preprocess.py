"""RGB images to the network's input: resize, scale to 0..1, normalize once per encoder, stack on channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.errors import VisionError
from omnivla_vision.images.raw import check_shape
from omnivla_vision.network.spec import EncoderSpec, Preset, Resize

Image = NDArray[np.uint8]

_PIXELS_AT_A_TIME = 4_000_000


class NotAnRgbImageError(VisionError):
    """The array is not a uint8 RGB image with at least one pixel."""


class Preprocessor:
    """Turns uint8 RGB images into the input stacks of a preset's backbone.

    The arithmetic is the public code's: `x / 255`, then `(x - mean) / std`, all in float32.
    """

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self._statistics = {
            spec.name: (torch.tensor(spec.mean).view(3, 1, 1), torch.tensor(spec.std).view(3, 1, 1))
            for spec in preset.encoders
        }
        self.id = preprocessing_id(preset)

    def __call__(self, images: Sequence[Image]) -> tuple[Tensor, ...]:
        """Preprocess a batch of images of any sizes.

        Args:
            images: RGB, uint8, [H, W, 3] each.

        Returns:
            One float32 [B, 3 * encoders, S, S] tensor per `preset.inputs`.

        Raises:
            NotAnRgbImageError: an array has another dtype or shape, or no pixels.
            ImageShapeError: an image is longer or narrower than `check_shape` allows.
        """
        stacks = []
        for inputs, pixels in zip(self.preset.inputs, self.pixels(images), strict=True):
            unit = pixels.float().div_(255)
            stack = torch.empty(len(images), 3 * len(inputs.encoders), inputs.size, inputs.size)
            for spec, part in zip(inputs.encoders, stack.split(3, dim=1), strict=True):
                mean, std = self._statistics[spec.name]
                torch.sub(unit, mean, out=part).div_(std)
            stacks.append(stack)
        return tuple(stacks)

    def pixels(self, images: Sequence[Image]) -> tuple[Tensor, ...]:
        """Only resize, for an engine that normalizes by itself.

        Returns:
            One uint8 [B, 3, S, S] tensor per `preset.inputs`.

        Raises:
            NotAnRgbImageError: an array has another dtype or shape, or no pixels.
            ImageShapeError: an image is longer or narrower than `check_shape` allows.
        """
        return tuple(
            torch.stack([resize(image, inputs.size, inputs.resize) for image in images])
            for inputs in self.preset.inputs
        )


def preprocess(current: Image, goal: Image, preset: Preset) -> tuple[Tensor, ...]:
    """The pair (current, goal) as one tensor per input size, as OmniVLA's policy code passes it.

    Returns:
        For `dinosiglip-224` a single float32 [1, 12, 224, 224]: channels 0-2 the current image with DINOv2's
        normalization, 3-5 with SigLIP's, 6-8 and 9-11 the same for the goal.
    """
    return tuple(stack.flatten(0, 1).unsqueeze(0) for stack in Preprocessor(preset)([current, goal]))


def resize(image: Image, size: int, how: Resize = Resize()) -> Tensor:  # noqa: B008 - immutable
    """Bring an image of any size to [3, size, size] uint8: antialiased (bicubic: a = -0.5), rounded and clamped.

    torch's uint8 kernel works in PIL's fixed-point arithmetic and differs from PIL by at most one level, by two where
    it enlarges. A `size` x `size` image comes back unchanged. The strategies are Prismatic's: sizes and offsets are
    rounded as torchvision's resize and centre crop do it.

    Raises:
        NotAnRgbImageError: not uint8 [H, W, 3], or no pixels.
        ImageShapeError: longer or narrower than `check_shape` allows.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise NotAnRgbImageError(
            f"found an array of {image.dtype} {list(image.shape)}; expected uint8 [height, width, 3] with at least one "
            "pixel; convert the image to 8-bit RGB first"
        )
    height, width = image.shape[:2]
    check_shape(width, height)
    above, before = _borders(height, width) if how.strategy == "letterbox" else (0, 0)
    sides = height + 2 * above, width + 2 * before
    scaled = (size, size) if how.strategy == "resize-naive" else tuple(int(size * s / min(sides)) for s in sides)
    if above or before:
        planes = _pad_and_scale(image, above, before, scaled, how)
    else:
        planes = _scale(_planes(image), scaled, how)
    top, left = (round((side - size) / 2) for side in scaled)
    return planes[0, :, top : top + size, left : left + size]


def _borders(height: int, width: int) -> tuple[int, int]:
    """Equal ones on both sides; where that leaves one pixel too many, the crop after the resize takes it."""
    longer = max(height, width)
    return (longer - height) // 2, (longer - width) // 2


def _planes(image: Image) -> Tensor:
    if not image.flags.writeable:
        image = image.copy()  # torch cannot express a read-only tensor, and warns of undefined behaviour
    # Transposing a contiguous [H, W, 3] array yields the channels_last layout that the fast kernel wants.
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0)


def _scale(planes: Tensor, sides: tuple[int, ...], how: Resize) -> Tensor:
    if planes.shape[2:] == sides:
        return planes
    return F.interpolate(planes, size=sides, mode=how.interpolation, antialias=True)


def _pad_and_scale(image: Image, above: int, before: int, sides: tuple[int, ...], how: Resize) -> Tensor:
    """First the rows, some at a time, then the columns, as torch does it: to the last bit what it makes of the whole
    square, which around 256x16384 pixels would take 0.8 GB.
    """
    height, width = image.shape[:2]

    def scaled_rows(rows: Image) -> Tensor:
        padded = np.empty((len(rows), width + 2 * before, 3), np.uint8)
        padded[:] = how.fill
        padded[:, before : before + width] = rows
        return _scale(_planes(padded), (len(rows), sides[1]), how)

    at_a_time = max(1, _PIXELS_AT_A_TIME // (width + 2 * before))
    parts = [scaled_rows(image[start : start + at_a_time]) for start in range(0, height, at_a_time)]
    if above:
        border = scaled_rows(np.full((1, width, 3), how.fill, np.uint8)).expand(-1, -1, above, -1)
        parts = [border, *parts, border]
    return _scale(torch.cat(parts, dim=2).contiguous(memory_format=torch.channels_last), sides, how)


def preprocessing_id(preset: Preset) -> str:
    """A readable identity of resize and normalization: two nodes with the same id feed their networks the same."""

    def resize_id(how: Resize) -> str:
        fill = f":fill={','.join(map(str, how.fill))}" if how.strategy == "letterbox" else ""
        return f"{how.strategy}:{how.interpolation}-antialias:uint8{fill}"

    def encoder_id(spec: EncoderSpec) -> str:
        mean, std = (",".join(f"{value:.9g}" for value in triple) for triple in (spec.mean, spec.std))
        return f"{spec.name}:{spec.image_size}:mean={mean}:std={std}"

    resizes = dict.fromkeys(resize_id(spec.resize) for spec in preset.encoders)
    return "|".join(["+".join(resizes), *map(encoder_id, preset.encoders)])
