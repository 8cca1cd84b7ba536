"""Named encoders and encoder pairs, and every number that differs between them: a table, no logic.

Sources: architectures and normalizations from timm's model definitions; the pairs and the layer rule (the output of the
second-to-last block, before any final norm) from the public code of OmniVLA, OpenVLA and Prismatic VLMs.
"""

from __future__ import annotations

from dataclasses import replace

from omnivla_vision.errors import VisionError
from omnivla_vision.network.image_paths import PLAIN, get_image_path
from omnivla_vision.network.spec import EncoderSpec, GridMismatchError, InputStack, Preset, Resize, Triple

__all__ = [
    "DEFAULT_PRESET",
    "PRESETS",
    "EncoderSpec",
    "GridMismatchError",
    "InputStack",
    "Preset",
    "Resize",
    "UnknownPresetError",
    "get_preset",
]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
# What OpenVLA's and OmniVLA's preprocessor_config.json hold: the ImageNet values after a round trip through bfloat16.
OPENVLA_DINOV2_MEAN: Triple = (0.484375, 0.455078125, 0.40625)
OPENVLA_DINOV2_STD: Triple = (0.228515625, 0.2236328125, 0.224609375)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
HALF: Triple = (0.5, 0.5, 0.5)


class UnknownPresetError(VisionError):
    """The preset's name is not in the table."""


_DINOV2_S = EncoderSpec(
    name="dinov2",
    timm_id="vit_small_patch14_dinov2.lvd142m",
    image_size=224,
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
_DINOV2_B = replace(_DINOV2_S, timm_id="vit_base_patch14_dinov2.lvd142m", width=768, heads=12, mlp_width=3072)
_DINOV2_L = replace(
    _DINOV2_S, timm_id="vit_large_patch14_dinov2.lvd142m", width=1024, depth=24, heads=16, mlp_width=4096
)
# The only one with a gated MLP: 8192 outputs of the first layer, halved to 4096.
_DINOV2_G = replace(
    _DINOV2_S,
    timm_id="vit_giant_patch14_dinov2.lvd142m",
    width=1536,
    depth=40,
    heads=24,
    mlp_width=8192,
    activation="swiglu",
)


def _with_registers(spec: EncoderSpec) -> EncoderSpec:
    """The same size, trained with four register tokens; there the positions are the patches' only."""
    return replace(
        spec, timm_id=spec.timm_id.replace("patch14_", "patch14_reg4_"), register_tokens=4, embed_prefix=False
    )


# Rotary positions, in a network that has timm's Eva for a class; the LayerNorms are less careful than in DINOv2.
_DINOV3_S = replace(
    _DINOV2_S,
    name="dinov3",
    timm_id="vit_small_patch16_dinov3.lvd1689m",
    patch_size=16,
    register_tokens=4,
    embed_prefix=False,
    norm_eps=1e-5,
    rope_temperature=100.0,
)
_DINOV3_SIZES = {
    "s": _DINOV3_S,
    # Of 3072 outputs of the first layer, one half gates the other.
    "splus": replace(_DINOV3_S, timm_id="vit_small_plus_patch16_dinov3.lvd1689m", mlp_width=3072, activation="swiglu"),
    "b": replace(_DINOV3_S, timm_id="vit_base_patch16_dinov3.lvd1689m", width=768, heads=12, mlp_width=3072),
    "l": replace(
        _DINOV3_S, timm_id="vit_large_patch16_dinov3.lvd1689m", width=1024, depth=24, heads=16, mlp_width=4096
    ),
}


def _at(spec: EncoderSpec, image_size: int) -> EncoderSpec:
    return replace(spec, image_size=image_size)


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
_SIGLIP_SO400M_384 = replace(_SIGLIP_SO400M, timm_id="vit_so400m_patch14_siglip_384.webli", image_size=384)
_SIGLIP_B = replace(
    _SIGLIP_SO400M,
    timm_id="vit_base_patch16_siglip_256.webli",
    image_size=256,
    patch_size=16,
    width=768,
    depth=12,
    heads=12,
    mlp_width=3072,
)


def _siglip2(patch_size: int, image_size: int) -> EncoderSpec:
    """As timm runs them: patch-14 models with the exact GELU, patch-16 models with the tanh approximation."""
    return replace(
        _SIGLIP_SO400M,
        timm_id=f"vit_so400m_patch{patch_size}_siglip_{image_size}.v2_webli",
        image_size=image_size,
        patch_size=patch_size,
        activation="gelu_tanh" if patch_size == 16 else "gelu",
    )


# PaliGemma's tower as pi0 runs it: every block, the final norm, and the tanh GELU that it was trained with (the default
# of flax's gelu, which openpi calls). timm gives the same weights the exact one. Without openpi's image path the black
# border comes before the resize, not behind it.
_PI0_SIGLIP = replace(
    _SIGLIP_SO400M,
    timm_id="vit_so400m_patch14_siglip_gap_224.pali_pt",
    activation="gelu_tanh",
    skipped_blocks=0,
    final_norm=True,
    resize=Resize(strategy="letterbox", interpolation="bilinear", fill=(0, 0, 0)),
)


def _in_transformers(spec: EncoderSpec) -> EncoderSpec:
    """As transformers' `SiglipVisionModel` computes it: every block, tanh GELU, and the norm behind the last one."""
    return replace(spec, activation="gelu_tanh", skipped_blocks=0, final_norm=True)


# OpenAI trained CLIP with the sigmoid approximation of GELU, which timm's plain models do not use and Prismatic sets.
_CLIP_L = EncoderSpec(
    name="clip",
    timm_id="vit_large_patch14_clip_224.openai",
    image_size=224,
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
_CLIP_L_336 = replace(_CLIP_L, timm_id="vit_large_patch14_clip_336.openai", image_size=336)
_DINOV2_L_REG = _with_registers(_DINOV2_L)
_DINOV2_SIZES = {"s": _DINOV2_S, "b": _DINOV2_B, "l": _DINOV2_L, "g": _DINOV2_G}

_PATHS = {"pi0-siglip-224": get_image_path("openpi")}

PRESETS: dict[str, Preset] = {
    name: Preset(name=name, encoders=encoders, image_path=_PATHS.get(name, PLAIN))
    for name, encoders in {
        "dinosiglip-224": (replace(_DINOV2_L_REG, mean=OPENVLA_DINOV2_MEAN, std=OPENVLA_DINOV2_STD), _SIGLIP_SO400M),
        "small": (_with_registers(_DINOV2_S), _SIGLIP_B),
        "dinosiglip-384": (_at(_DINOV2_L_REG, 384), _SIGLIP_SO400M_384),
        "dinoclip-336": (_at(_DINOV2_L_REG, 336), _CLIP_L_336),
        "siglip-224": (_SIGLIP_SO400M,),
        "siglip-384": (_SIGLIP_SO400M_384,),
        **{f"dinov2-{size}-224": (spec,) for size, spec in _DINOV2_SIZES.items()},
        **{f"dinov2-{size}-reg4-224": (_with_registers(spec),) for size, spec in _DINOV2_SIZES.items()},
        **{f"dinov3-{size}-224": (spec,) for size, spec in _DINOV3_SIZES.items()},
        "clip-l-224": (_CLIP_L,),
        "clip-l-336": (_CLIP_L_336,),
        "siglip2-so400m-224": (_siglip2(14, 224),),
        "siglip2-so400m-378": (_siglip2(14, 378),),
        "siglip2-so400m-p16-256": (_siglip2(16, 256),),
        "siglip2-so400m-p16-384": (_siglip2(16, 384),),
        "siglip2-so400m-p16-512": (_siglip2(16, 512),),
        "siglip-hf-224": (_in_transformers(_SIGLIP_SO400M),),
        "siglip-hf-384": (_in_transformers(_SIGLIP_SO400M_384),),
        "pi0-siglip-224": (_PI0_SIGLIP,),
    }.items()
}
DEFAULT_PRESET = "dinosiglip-224"
# `timm:ID` or `timm:ID+ID`: any other pair that timm knows and `vit` can express.
TIMM_PREFIX = "timm:"


def get_preset(name: str) -> Preset:
    """Look a preset up by name, or make one from timm's own configuration: `timm:ID[@SIZE][+ID[@SIZE]]`.

    Raises:
        UnknownPresetError: no such preset; the message lists the known ones.
        TimmPresetError: timm is not installed, does not know the model, or `vit` cannot express it.
        GridMismatchError: the two models have different numbers of patches.
    """
    if name.startswith(TIMM_PREFIX):
        from omnivla_vision.network.timm_presets import timm_preset  # an optional dependency

        return replace(timm_preset(name.removeprefix(TIMM_PREFIX)), name=name)
    try:
        return PRESETS[name]
    except KeyError:
        raise UnknownPresetError(
            f"unknown preset {name!r}; known presets: {', '.join(PRESETS)}, and {TIMM_PREFIX}ID[+ID] for timm's models"
        ) from None


def native_normalization(preset: Preset) -> Preset:
    """The preset with the means and deviations of timm, where it has OpenVLA's rounded ones."""
    return replace(
        preset,
        encoders=tuple(
            replace(spec, mean=IMAGENET_MEAN, std=IMAGENET_STD) if spec.mean == OPENVLA_DINOV2_MEAN else spec
            for spec in preset.encoders
        ),
    )
