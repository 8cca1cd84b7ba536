"""Named encoder pairs and every number that differs between them: a table, no logic.

Sources: architectures from timm's model definitions; the pairs, the layer rule and the normalizations from the public
code and checkpoints of OmniVLA, OpenVLA and Prismatic VLMs.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnivla_vision.errors import VisionError

Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
# What OpenVLA's and OmniVLA's preprocessor_config.json hold: the ImageNet values after a round trip through bfloat16.
OPENVLA_DINOV2_MEAN: Triple = (0.484375, 0.455078125, 0.40625)
OPENVLA_DINOV2_STD: Triple = (0.228515625, 0.2236328125, 0.224609375)
HALF: Triple = (0.5, 0.5, 0.5)


class UnknownPresetError(VisionError):
    """The preset's name is not in the table."""


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """One vision transformer: what timm calls it, its sizes, and how its input is normalized.

    `timm_id` names the architecture whose state dict loads; `block` is the index of the block whose output is taken,
    `depth - 2` for the whole OpenVLA family. `mean` and `std` apply to RGB in 0..1.
    """

    name: str
    timm_id: str
    image_size: int
    patch_size: int
    width: int
    depth: int
    heads: int
    mlp_width: int
    register_tokens: int = 0
    class_token: bool = False
    layer_scale: bool = False
    mean: Triple
    std: Triple

    @property
    def block(self) -> int:
        """Index of the block whose output is the encoder's: the second-to-last, before any final norm."""
        return self.depth - 2

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.image_size // self.patch_size

    @property
    def prefix_tokens(self) -> int:
        """Class and register tokens, which the output drops."""
        return int(self.class_token) + self.register_tokens


@dataclass(frozen=True, kw_only=True)
class InputStack:
    """Consecutive encoders that share an input size, and so one [B, 3 * len(encoders), size, size] tensor."""

    size: int
    encoders: tuple[EncoderSpec, ...]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Encoders whose patch features are put side by side, in this order, in channels and in features."""

    name: str
    encoders: tuple[EncoderSpec, ...]

    @property
    def width(self) -> int:
        """Width of a fused token."""
        return sum(encoder.width for encoder in self.encoders)

    @property
    def grid(self) -> int:
        """Patches per side; the same for every encoder of a preset."""
        return self.encoders[0].grid

    @property
    def tokens_per_image(self) -> int:
        """Patch tokens of one image."""
        return self.grid**2

    @property
    def inputs(self) -> tuple[InputStack, ...]:
        """The network's input tensors: one per run of encoders of the same input size."""
        stacks: list[InputStack] = []
        for encoder in self.encoders:
            if stacks and stacks[-1].size == encoder.image_size:
                stacks[-1] = InputStack(size=encoder.image_size, encoders=(*stacks[-1].encoders, encoder))
            else:
                stacks.append(InputStack(size=encoder.image_size, encoders=(encoder,)))
        return tuple(stacks)


_DINOV2_L = EncoderSpec(
    name="dinov2",
    timm_id="vit_large_patch14_reg4_dinov2.lvd142m",
    image_size=224,
    patch_size=14,
    width=1024,
    depth=24,
    heads=16,
    mlp_width=4096,
    register_tokens=4,
    class_token=True,
    layer_scale=True,
    mean=OPENVLA_DINOV2_MEAN,
    std=OPENVLA_DINOV2_STD,
)
_SIGLIP_SO400M = EncoderSpec(
    name="siglip",
    timm_id="vit_so400m_patch14_siglip_224.webli",
    image_size=224,
    patch_size=14,
    width=1152,
    depth=27,
    heads=16,
    mlp_width=4304,
    mean=HALF,
    std=HALF,
)
_DINOV2_S = EncoderSpec(
    name="dinov2",
    timm_id="vit_small_patch14_reg4_dinov2.lvd142m",
    image_size=224,
    patch_size=14,
    width=384,
    depth=12,
    heads=6,
    mlp_width=1536,
    register_tokens=4,
    class_token=True,
    layer_scale=True,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
_SIGLIP_B = EncoderSpec(
    name="siglip",
    timm_id="vit_base_patch16_siglip_256.webli",
    image_size=256,
    patch_size=16,
    width=768,
    depth=12,
    heads=12,
    mlp_width=3072,
    mean=HALF,
    std=HALF,
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(name="dinosiglip-224", encoders=(_DINOV2_L, _SIGLIP_SO400M)),
        Preset(name="small", encoders=(_DINOV2_S, _SIGLIP_B)),
    )
}
DEFAULT_PRESET = "dinosiglip-224"


def get_preset(name: str) -> Preset:
    """Look a preset up by name.

    Raises:
        UnknownPresetError: no such preset; the message lists the known ones.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise UnknownPresetError(f"unknown preset {name!r}; known presets: {', '.join(PRESETS)}") from None
