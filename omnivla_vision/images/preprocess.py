"""RGB images to the network's input: view, image path, resize, scale to 0..1, normalize per encoder, channel stacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from omnivla_vision.images.image_path import follow
from omnivla_vision.images.resize import resize
from omnivla_vision.images.rgb import Image
from omnivla_vision.images.view import look
from omnivla_vision.network.preprocessing_id import preprocessing_id
from omnivla_vision.network.spec import Preset


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

    def __call__(self, images: Sequence[Image], names: Sequence[str] = ()) -> tuple[Tensor, ...]:
        """Preprocess a batch of images of any sizes.

        Args:
            images: RGB, uint8, [H, W, 3] each.
            names: whose they are, by which regions and masks are chosen; none where all are treated alike.

        Returns:
            One float32 [B, 3 * encoders, H, W] tensor per `preset.inputs`.

        Raises:
            NotAnRgbImageError: an array has another dtype or shape, or no pixels.
            ImageShapeError: an image, or its region, is longer or narrower than `check_shape` allows.
            MaskSizeError: an image has another size than its mask.
            ImageNameError: no names, and not all images are treated alike.
        """
        stacks = []
        for inputs, pixels in zip(self.preset.inputs, self.pixels(images, names), strict=True):
            unit = pixels.float().div_(255)
            stack = torch.empty(len(images), 3 * len(inputs.encoders), *inputs.size)
            for spec, part in zip(inputs.encoders, stack.split(3, dim=1), strict=True):
                mean, std = self._statistics[spec.name]
                torch.sub(unit, mean, out=part).div_(std)
            stacks.append(stack)
        return tuple(stacks)

    def pixels(self, images: Sequence[Image], names: Sequence[str] = ()) -> tuple[Tensor, ...]:
        """Only region and mask, the image path and the resize, for an engine that normalizes by itself.

        Returns:
            One uint8 [B, 3, H, W] tensor per `preset.inputs`.

        Raises:
            NotAnRgbImageError: an array has another dtype or shape, or no pixels.
            ImageShapeError: an image, or its region, is longer or narrower than `check_shape` allows.
            MaskSizeError: an image has another size than its mask.
            ImageNameError: no names, and not all images are treated alike.
        """
        views = [self.preset.views.of(name) for name in names or [""] * len(images)]
        colour = self.preset.mean_colour
        ready = [
            follow(look(image, view, colour), self.preset.image_path) for image, view in zip(images, views, strict=True)
        ]
        return tuple(
            torch.stack([resize(image, inputs.size, inputs.resize) for image in ready]) for inputs in self.preset.inputs
        )


def preprocess(current: Image, goal: Image, preset: Preset) -> tuple[Tensor, ...]:
    """The pair (current, goal) as one tensor per input size, as OmniVLA's policy code passes it.

    Returns:
        For `dinosiglip-224` a single float32 [1, 12, 224, 224]: channels 0-2 the current image with DINOv2's
        normalization, 3-5 with SigLIP's, 6-8 and 9-11 the same for the goal.
    """
    stacks = Preprocessor(preset)([current, goal], ("current", "goal"))
    return tuple(stack.flatten(0, 1).unsqueeze(0) for stack in stacks)
