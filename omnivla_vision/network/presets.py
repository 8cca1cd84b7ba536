"""Named encoders and encoder pairs: a table, no logic. The encoders' own numbers are in `encoders`.

Sources: the pairs and the layer rule (the output of the second-to-last block, before any final norm) from the public
code of OmniVLA, OpenVLA and Prismatic VLMs.
"""

from __future__ import annotations

from dataclasses import replace

from omnivla_vision.errors import VisionError
from omnivla_vision.network.encoders import (
    CLIP_L,
    CLIP_L_336,
    DINOV2_L_REG,
    DINOV2_S,
    DINOV2_SIZES,
    DINOV3_SIZES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    OPENVLA_DINOV2_MEAN,
    OPENVLA_DINOV2_STD,
    PI0_SIGLIP,
    SIGLIP_B,
    SIGLIP_SO400M,
    SIGLIP_SO400M_384,
    at,
    in_transformers,
    siglip2,
    with_registers,
)
from omnivla_vision.network.image_paths import PLAIN, get_image_path
from omnivla_vision.network.policy_presets import POLICY_PRESETS
from omnivla_vision.network.spec import EncoderSpec, GridMismatchError, InputStack, Preset, Resize

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


class UnknownPresetError(VisionError):
    """The preset's name is not in the table."""


_PATHS = {"pi0-siglip-224": get_image_path("openpi")}

PRESETS: dict[str, Preset] = {
    name: Preset(name=name, encoders=encoders, image_path=_PATHS.get(name, PLAIN))
    for name, encoders in {
        "dinosiglip-224": (replace(DINOV2_L_REG, mean=OPENVLA_DINOV2_MEAN, std=OPENVLA_DINOV2_STD), SIGLIP_SO400M),
        "small": (with_registers(DINOV2_S), SIGLIP_B),
        "dinosiglip-384": (at(DINOV2_L_REG, 384), SIGLIP_SO400M_384),
        "dinoclip-336": (at(DINOV2_L_REG, 336), CLIP_L_336),
        "siglip-224": (SIGLIP_SO400M,),
        "siglip-384": (SIGLIP_SO400M_384,),
        **{f"dinov2-{size}-224": (spec,) for size, spec in DINOV2_SIZES.items()},
        **{f"dinov2-{size}-reg4-224": (with_registers(spec),) for size, spec in DINOV2_SIZES.items()},
        **{f"dinov3-{size}-224": (spec,) for size, spec in DINOV3_SIZES.items()},
        "clip-l-224": (CLIP_L,),
        "clip-l-336": (CLIP_L_336,),
        "siglip2-so400m-224": (siglip2(14, 224),),
        "siglip2-so400m-378": (siglip2(14, 378),),
        "siglip2-so400m-p16-256": (siglip2(16, 256),),
        "siglip2-so400m-p16-384": (siglip2(16, 384),),
        "siglip2-so400m-p16-512": (siglip2(16, 512),),
        "siglip-hf-224": (in_transformers(SIGLIP_SO400M),),
        "siglip-hf-384": (in_transformers(SIGLIP_SO400M_384),),
        "pi0-siglip-224": (PI0_SIGLIP,),
    }.items()
}
PRESETS.update(POLICY_PRESETS)
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


def presets_of_files() -> list[Preset]:
    """Those that a checkpoint may be recognized as.

    What a policy makes of one encoder stands in no file of weights; a pair that only a policy has tells it.
    """
    return [preset for name, preset in PRESETS.items() if name not in POLICY_PRESETS or len(preset.encoders) > 1]


def native_normalization(preset: Preset) -> Preset:
    """The preset with the means and deviations of timm, where it has OpenVLA's rounded ones."""
    return replace(
        preset,
        encoders=tuple(
            replace(spec, mean=IMAGENET_MEAN, std=IMAGENET_STD) if spec.mean == OPENVLA_DINOV2_MEAN else spec
            for spec in preset.encoders
        ),
    )
