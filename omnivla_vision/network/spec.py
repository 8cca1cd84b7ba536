"""What a preset is: encoders side by side, and what is made of their features, as data. They are in `presets`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnivla_vision.errors import VisionError
from omnivla_vision.network.encoder_spec import (
    Activation,
    ClassTokenError,
    EncoderSpec,
    Interpolation,
    PositionResize,
    RectangleError,
    Resize,
    Strategy,
    Triple,
)
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.history import NO_HISTORY, History
from omnivla_vision.network.image_paths import PLAIN, ImagePath
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.outputs import WHOLE_GRID, Output, Pooling
from omnivla_vision.network.views import WHOLE, Views

__all__ = [
    "Activation",
    "ClassTokenError",
    "EncoderSpec",
    "GridMismatchError",
    "InputStack",
    "Interpolation",
    "OutputNameError",
    "PositionResize",
    "Preset",
    "RectangleError",
    "Resize",
    "Strategy",
    "Triple",
]


class GridMismatchError(VisionError):
    """The encoders of a preset have different numbers of patches, and no grid is set that all are brought to."""


class OutputNameError(VisionError):
    """A preset has two outputs of one name, or none."""


@dataclass(frozen=True, kw_only=True)
class InputStack:
    """Consecutive encoders that see the same resized image: one [B, 3 * len(encoders), *size] tensor."""

    size: ImageSize
    resize: Resize
    encoders: tuple[EncoderSpec, ...]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Encoders whose patch features are put side by side, in this order, in channels and in features.

    Attributes:
        image_path: what is done to an image in front of the encoders' own resize.
        views: what of each image is looked at, in front of the image path.
        outputs: what tokens are made of the features.
        common_grid: what the encoders' patches are brought to by adaptive average pooling where they have more; None
            for their own, which must be the same then.
        history: the past frames whose tokens the outputs of scope `past` and `all` hold; a preset that names one
            prescribes it, and those outputs with it.

    Raises:
        GridMismatchError: the encoders' grids differ, and none is set.
        PoolingError: an encoder's grid is coarser than the one set, or an output does not pool it.
        ClassTokenError: an output of class tokens, which no encoder gives.
        OutputNameError: two outputs of one name, or none.
    """

    name: str
    encoders: tuple[EncoderSpec, ...]
    image_path: ImagePath = PLAIN
    views: Views = WHOLE
    outputs: tuple[Output, ...] = WHOLE_GRID
    history: History = NO_HISTORY
    common_grid: Grid | None = None

    def __post_init__(self) -> None:
        self._check_grids()
        names = [output.name for output in self.outputs]
        if not names or len(set(names)) < len(names):
            raise OutputNameError(
                f"preset {self.name}: found outputs {', '.join(names) or '(none)'}; expected at least one, each of a "
                "name of its own"
            )
        for output in self.outputs:
            if output.pooling.kind == "class" and not any(encoder.class_output for encoder in self.encoders):
                raise ClassTokenError(
                    f"preset {self.name}: found output {output.name} of class tokens; expected an encoder that gives "
                    "its own; choose another pooling, or a preset with class tokens"
                )
            output.pooling.grid(self.grid)

    def _check_grids(self) -> None:
        grids = [encoder.grid for encoder in self.encoders]
        if self.common_grid is not None:
            for grid in grids:
                Pooling("average", *self.common_grid).grid(grid)
        elif len(set(grids)) > 1:
            found = " and ".join(
                f"{encoder.grid} of {encoder.architecture} at {encoder.image_size}" for encoder in self.encoders
            )
            height, width = min(grids)
            sizes = [ImageSize(height * encoder.patch_size, width * encoder.patch_size) for encoder in self.encoders]
            raise GridMismatchError(
                f"preset {self.name}: found patch grids {found}; expected the same grid; choose the input sizes, for "
                "example timm:"
                + "+".join(f"{encoder.timm_id}@{size}" for encoder, size in zip(self.encoders, sizes, strict=True))
            )

    @property
    def network(self) -> Preset:
        """The same without image path, regions, masks, outputs and history: all that an engine depends on."""
        return replace(self, image_path=PLAIN, views=WHOLE, outputs=WHOLE_GRID, history=NO_HISTORY)

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """RGB, 0..255: the first encoder's mean, cut off to whole levels.

        Prismatic's letterbox fills with the same (`int(x * 255)` of DINOv2's mean). There is one image for all
        encoders, so there is one colour: after DINOv2's normalization it is within 0.02 of zero, after SigLIP's
        within 0.2.
        """
        red, green, blue = (int(value * 255) for value in self.encoders[0].mean)
        return red, green, blue

    @property
    def width(self) -> int:
        """Width of a fused token."""
        return sum(encoder.width for encoder in self.encoders)

    @property
    def grid(self) -> Grid:
        """The patches of an image, as every encoder gives them or is pooled to."""
        return self.common_grid or self.encoders[0].grid

    @property
    def tokens_per_image(self) -> int:
        """Patch tokens of one image."""
        return self.grid.tokens

    @property
    def inputs(self) -> tuple[InputStack, ...]:
        """The network's input tensors: one per run of encoders of the same input size and resize."""
        stacks: list[InputStack] = []
        for encoder in self.encoders:
            last = stacks[-1] if stacks else None
            if last is not None and (last.size, last.resize) == (encoder.image_size, encoder.resize):
                stacks[-1] = InputStack(size=last.size, resize=last.resize, encoders=(*last.encoders, encoder))
            else:
                stacks.append(InputStack(size=encoder.image_size, resize=encoder.resize, encoders=(encoder,)))
        return tuple(stacks)
