"""What one encoder is, as data: every number that differs between vision transformers. They are in `encoders`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from omnivla_vision.errors import VisionError
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.image_size import ImageSize

Triple = tuple[float, float, float]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "swiglu"]
Strategy = Literal["resize-naive", "letterbox", "resize-crop"]
Interpolation = Literal["bicubic", "bilinear"]
PositionResize = Literal["antialiased", "dinov2"]


class RectangleError(VisionError):
    """An image is to be letterboxed or cropped to a rectangle."""


class ClassTokenError(VisionError):
    """A class token is asked for that is not there."""


@dataclass(frozen=True, kw_only=True)
class Resize:
    """How an image of any size becomes what an encoder takes, in uint8; always antialiased.

    `resize-naive` squashes, also to a rectangle; `letterbox` pads to a square with `fill` (RGB, 0..255) first,
    `resize-crop` scales the shorter side and crops the centre: the names and the meaning are Prismatic's.
    """

    strategy: Strategy = "resize-naive"
    interpolation: Interpolation = "bicubic"
    fill: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """One vision transformer: what timm calls it, its sizes, what is run of it, and what its input looks like.

    Attributes:
        image_size: height and width of its input, in pixels.
        timm_id: the architecture whose state dict loads, and after the dot timm's pretrained weights.
        mlp_width: outputs of the MLP's first layer; `swiglu` gates one half of them with the other.
        embed_prefix: positions are added to the class and register tokens too, not to the patches only.
        pre_norm: a LayerNorm before the first block, and no bias in the patch embedding (CLIP).
        skipped_blocks: blocks at the end that are not run; 1 in the whole OpenVLA family.
        final_norm: whether the LayerNorm after the last block is applied; only where no block is skipped.
        class_output: whether the class token is given too, in front of the patches.
        rope_temperature: the base of the periods by which queries and keys of the patches are rotated (DINOv3), which
            takes the place of position embeddings; None for these.
        position_resize: how position embeddings are brought to another grid than that of the weights. `antialiased`:
            bicubic, as timm does it; `dinov2`: as DINOv2's own code does it for models without registers, which is
            what policies run that load them from torch.hub.
        mean, std: normalization of RGB in 0..1.

    Raises:
        RectangleError: letterboxed or cropped to a rectangle.
        ClassTokenError: `class_output` without a class token.
    """

    name: str
    timm_id: str
    image_size: ImageSize
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
    position_resize: PositionResize = "antialiased"
    mean: Triple
    std: Triple
    resize: Resize = Resize()

    def __post_init__(self) -> None:
        if self.resize.strategy != "resize-naive" and not self.image_size.is_square:
            raise RectangleError(
                f"{self.timm_id}: found {self.resize.strategy} to {self.image_size}; expected a square for it, or "
                "resize-naive; crop or pad to the rectangle's proportions in an image path"
            )
        if self.class_output and not self.class_token:
            raise ClassTokenError(
                f"{self.timm_id}: found that its class token is to be given; expected an encoder that has one; "
                "SigLIP has none"
            )

    @property
    def block(self) -> int:
        """Index of the block whose output is the encoder's: usually the second-to-last."""
        return self.depth - 1 - self.skipped_blocks

    @property
    def grid(self) -> Grid:
        """Its patches; pixels beyond the last whole patch (384 with patches of 14) are not seen."""
        return Grid(self.image_size.height // self.patch_size, self.image_size.width // self.patch_size)

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
