"""Encoders of the table, and every number that differs between them: no logic.

Sources: architectures and normalizations from timm's model definitions; what else is run is said beside it.
"""

from __future__ import annotations

from dataclasses import replace

from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.spec import EncoderSpec, Resize, Triple

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
# What OpenVLA's and OmniVLA's preprocessor_config.json hold: the ImageNet values after a round trip through bfloat16.
OPENVLA_DINOV2_MEAN: Triple = (0.484375, 0.455078125, 0.40625)
OPENVLA_DINOV2_STD: Triple = (0.228515625, 0.2236328125, 0.224609375)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
HALF: Triple = (0.5, 0.5, 0.5)

DINOV2_S = EncoderSpec(
    name="dinov2",
    timm_id="vit_small_patch14_dinov2.lvd142m",
    image_size=ImageSize.square(224),
    patch_size=14,
    width=384,
    depth=12,
    heads=6,
    mlp_width=1536,
    class_token=True,
    embed_prefix=True,
    layer_scale=True,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
DINOV2_B = replace(DINOV2_S, timm_id="vit_base_patch14_dinov2.lvd142m", width=768, heads=12, mlp_width=3072)
DINOV2_L = replace(DINOV2_S, timm_id="vit_large_patch14_dinov2.lvd142m", width=1024, depth=24, heads=16, mlp_width=4096)
# The only one with a gated MLP: 8192 outputs of the first layer, halved to 4096.
DINOV2_G = replace(
    DINOV2_S,
    timm_id="vit_giant_patch14_dinov2.lvd142m",
    width=1536,
    depth=40,
    heads=24,
    mlp_width=8192,
    activation="swiglu",
)


def with_registers(spec: EncoderSpec) -> EncoderSpec:
    """The same size, trained with four register tokens; there the positions are the patches' only."""
    return replace(
        spec, timm_id=spec.timm_id.replace("patch14_", "patch14_reg4_"), register_tokens=4, embed_prefix=False
    )


# Rotary positions, in a network that has timm's Eva for a class; the LayerNorms are less careful than in DINOv2.
DINOV3_S = replace(
    DINOV2_S,
    name="dinov3",
    timm_id="vit_small_patch16_dinov3.lvd1689m",
    patch_size=16,
    register_tokens=4,
    embed_prefix=False,
    norm_eps=1e-5,
    rope_temperature=100.0,
)
DINOV3_SIZES = {
    "s": DINOV3_S,
    # Of 3072 outputs of the first layer, one half gates the other.
    "splus": replace(DINOV3_S, timm_id="vit_small_plus_patch16_dinov3.lvd1689m", mlp_width=3072, activation="swiglu"),
    "b": replace(DINOV3_S, timm_id="vit_base_patch16_dinov3.lvd1689m", width=768, heads=12, mlp_width=3072),
    "l": replace(DINOV3_S, timm_id="vit_large_patch16_dinov3.lvd1689m", width=1024, depth=24, heads=16, mlp_width=4096),
}


def at(spec: EncoderSpec, *sides: int) -> EncoderSpec:
    """The same at another input size: that of a square, or height and width."""
    return replace(spec, image_size=ImageSize(sides[0], sides[-1]))


SIGLIP_SO400M = EncoderSpec(
    name="siglip",
    timm_id="vit_so400m_patch14_siglip_224.webli",
    image_size=ImageSize.square(224),
    patch_size=14,
    width=1152,
    depth=27,
    heads=16,
    mlp_width=4304,
    mean=HALF,
    std=HALF,
)
SIGLIP_SO400M_384 = replace(
    SIGLIP_SO400M, timm_id="vit_so400m_patch14_siglip_384.webli", image_size=ImageSize.square(384)
)
SIGLIP_B = replace(
    SIGLIP_SO400M,
    timm_id="vit_base_patch16_siglip_256.webli",
    image_size=ImageSize.square(256),
    patch_size=16,
    width=768,
    depth=12,
    heads=12,
    mlp_width=3072,
)


def siglip2(patch_size: int, image_size: int) -> EncoderSpec:
    """As timm runs them: patch-14 models with the exact GELU, patch-16 models with the tanh approximation."""
    return replace(
        SIGLIP_SO400M,
        timm_id=f"vit_so400m_patch{patch_size}_siglip_{image_size}.v2_webli",
        image_size=ImageSize.square(image_size),
        patch_size=patch_size,
        activation="gelu_tanh" if patch_size == 16 else "gelu",
    )


# PaliGemma's tower as pi0 runs it: every block, the final norm, and the tanh GELU that it was trained with (the default
# of flax's gelu, which openpi calls). timm gives the same weights the exact one. Without openpi's image path the black
# border comes before the resize, not behind it.
PI0_SIGLIP = replace(
    SIGLIP_SO400M,
    timm_id="vit_so400m_patch14_siglip_gap_224.pali_pt",
    activation="gelu_tanh",
    skipped_blocks=0,
    final_norm=True,
    resize=Resize(strategy="letterbox", interpolation="bilinear", fill=(0, 0, 0)),
)


def in_transformers(spec: EncoderSpec) -> EncoderSpec:
    """As transformers' `SiglipVisionModel` computes it: every block, tanh GELU, and the norm behind the last one."""
    return replace(spec, activation="gelu_tanh", skipped_blocks=0, final_norm=True)


# OpenAI trained CLIP with the sigmoid approximation of GELU, which timm's plain models do not use and Prismatic sets.
CLIP_L = EncoderSpec(
    name="clip",
    timm_id="vit_large_patch14_clip_224.openai",
    image_size=ImageSize.square(224),
    patch_size=14,
    width=1024,
    depth=24,
    heads=16,
    mlp_width=4096,
    activation="quick_gelu",
    class_token=True,
    embed_prefix=True,
    pre_norm=True,
    norm_eps=1e-5,
    mean=CLIP_MEAN,
    std=CLIP_STD,
)
CLIP_L_336 = replace(CLIP_L, timm_id="vit_large_patch14_clip_336.openai", image_size=ImageSize.square(336))
DINOV2_L_REG = with_registers(DINOV2_L)
DINOV2_SIZES = {"s": DINOV2_S, "b": DINOV2_B, "l": DINOV2_L, "g": DINOV2_G}
