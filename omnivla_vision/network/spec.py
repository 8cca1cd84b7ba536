"""What an encoder pair is: every number that differs between networks, as data. The pairs are in `presets`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from omnivla_vision.errors import VisionError
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.history import NO_HISTORY, History
from omnivla_vision.network.image_paths import PLAIN, ImagePath
from omnivla_vision.network.outputs import WHOLE_GRID, Output
from omnivla_vision.network.views import WHOLE, Views

Triple = tuple[float, float, float]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "swiglu"]
Strategy = Literal["resize-naive", "letterbox", "resize-crop"]
Interpolation = Literal["bicubic", "bilinear"]


class GridMismatchError(VisionError):
    """The encoders of a preset have different numbers of patches, so their features cannot be put side by side."""


@dataclass(frozen=True, kw_only=True)
class Resize:
    """How an image of any size becomes a square of uint8; always antialiased.

    `resize-naive` squashes, `letterbox` pads to a square with `fill` (RGB, 0..255) first, `resize-crop` scales the
    shorter side and crops the centre: the names and the meaning are Prismatic's.
    """

    strategy: Strategy = "resize-naive"
    interpolation: Interpolation = "bicubic"
    fill: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """One vision transformer: what timm calls it, its sizes, what is run of it, and what its input looks like.

    Attributes:
        timm_id: the architecture whose state dict loads, and after the dot timm's pretrained weights.
        mlp_width: outputs of the MLP's first layer; `swiglu` gates one half of them with the other.
        embed_prefix: positions are added to the class and register tokens too, not to the patches only.
        pre_norm: a LayerNorm before the first block, and no bias in the patch embedding (CLIP).
        skipped_blocks: blocks at the end that are not run; 1 in the whole OpenVLA family.
        final_norm: whether the LayerNorm after the last block is applied; only where no block is skipped.
        class_output: whether the class token is given too, in front of the patches.
        rope_temperature: the base of the periods by which queries and keys of the patches are rotated (DINOv3), which
            takes the place of position embeddings; None for these.
        mean, std: normalization of RGB in 0..1.
    """

    name: str
    timm_id: str
    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    mlp_width: int
    activation: Activation = "gelu"
    class_token: bool = False
    register_tokens: int = 0
    embed_prefix: bool = False
    layer_scale: bool = False
    pre_norm: bool = False
    norm_eps: float = 1e-6
    skipped_blocks: int = 1
    final_norm: bool = False
    class_output: bool = False
    rope_temperature: float | None = None
    mean: Triple
    std: Triple
    resize: Resize = Resize()

    @property
    def block(self) -> int:
        """Index of the block whose output is the encoder's: usually the second-to-last."""
        return self.depth - 1 - self.skipped_blocks

    @property
    def grid(self) -> Grid:
        """Its patches; pixels beyond the last whole patch (384 with patches of 14) are not seen."""
        side = self.image_size // self.patch_size
        return Grid(side, side)

    @property
    def prefix_tokens(self) -> int:
        """Class and register tokens: all that the blocks see before the patches."""
        return int(self.class_token) + self.register_tokens

    @property
    def rows(self) -> int:
        """What it gives of an image: patches, and before them the class token if `class_output`."""
        return int(self.class_output) + self.grid.tokens

    @property
    def architecture(self) -> str:
        """`timm_id` without the name of the pretrained weights."""
        return self.timm_id.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class InputStack:
    """Consecutive encoders that see the same resized image: one [B, 3 * len(encoders), size, size] tensor."""

    size: int
    resize: Resize
    encoders: tuple[EncoderSpec, ...]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Encoders whose patch features are put side by side, in this order, in channels and in features.

    Attributes:
        image_path: what is done to an image in front of the encoders' own resize.
        views: what of each image is looked at, in front of the image path.
        outputs: what tokens are made of the features.
        history: the past frames whose tokens the outputs of scope `past` and `all` hold; a preset that names one
            prescribes it, and those outputs with it.

    Raises:
        GridMismatchError: the encoders' grids differ.
    """

    name: str
    encoders: tuple[EncoderSpec, ...]
    image_path: ImagePath = PLAIN
    views: Views = WHOLE
    outputs: tuple[Output, ...] = WHOLE_GRID
    history: History = NO_HISTORY

    def __post_init__(self) -> None:
        grids = [encoder.grid for encoder in self.encoders]
        if len(set(grids)) > 1:
            found = " and ".join(
                f"{encoder.grid} of {encoder.architecture} at {encoder.image_size}" for encoder in self.encoders
            )
            raise GridMismatchError(
                f"preset {self.name}: found patch grids {found}; expected the same grid; choose the input sizes, for "
                "example timm:" + "+".join(f"{e.timm_id}@{min(grids).height * e.patch_size}" for e in self.encoders)
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
        """The patches of an image; the same for every encoder of a preset."""
        return self.encoders[0].grid

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
