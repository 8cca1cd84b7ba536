"""Presets of what one policy's public code makes of its encoders. docs/presets.md names the files of every number.

No file of weights of one encoder tells them: they are chosen by name.
"""

from __future__ import annotations

from dataclasses import replace

from omnivla_vision.network.encoders import (
    DINOV2_B,
    DINOV2_S,
    DINOV3_S,
    SIGLIP_B,
    SIGLIP_SO400M_384,
    at,
    in_transformers,
)
from omnivla_vision.network.grid import Grid
from omnivla_vision.network.history import History
from omnivla_vision.network.image_paths import get_image_path
from omnivla_vision.network.outputs import Output, Pooling
from omnivla_vision.network.spec import EncoderSpec, Preset


def _to_its_end(spec: EncoderSpec) -> EncoderSpec:
    """Every block, and the norm behind the last one."""
    return replace(spec, skipped_blocks=0, final_norm=True)


def _from_torch_hub(spec: EncoderSpec) -> EncoderSpec:
    """DINOv2 as its own code runs it: to its end, and with its own way to other grids than the weights' 37x37."""
    return replace(_to_its_end(spec), position_resize="dinov2")


_PRESETS = (
    # OpenTrackVLA and MiniCPM-RobotTrack: averages of the two together, 64 of the present frame and 4 of all.
    Preset(
        name="robottrack-384",
        encoders=(at(_to_its_end(DINOV3_S), 384), in_transformers(SIGLIP_SO400M_384)),
        common_grid=Grid(24, 24),
        outputs=(
            Output("fine", Pooling("average", 8, 8), "present"),
            Output("coarse", Pooling("average", 2, 2), "all"),
        ),
        history=History(frames=31),
    ),
    Preset(name="navdp-224", encoders=(_from_torch_hub(DINOV2_S),), image_path=get_image_path("navdp")),
    # The second-to-last block; 27x27 patches, and zeros behind them, four of them side by side.
    Preset(
        name="navila-384",
        encoders=(replace(SIGLIP_SO400M_384, activation="gelu_tanh"),),
        outputs=(Output("tokens", Pooling("shuffle", 2, 2, padded=True)),),
    ),
    Preset(
        name="smolvla-512",
        encoders=(in_transformers(at(replace(SIGLIP_B, timm_id="vit_base_patch16_siglip_512.webli"), 512)),),
        image_path=get_image_path("smolvla"),
        outputs=(Output("tokens", Pooling("shuffle", 4, 4)),),
    ),
    Preset(
        name="citywalker-350x630",
        encoders=(replace(at(_from_torch_hub(DINOV2_B), 350, 630), class_output=True),),
        image_path=get_image_path("citywalker"),
        outputs=(Output("class", Pooling("class")),),
    ),
)
POLICY_PRESETS: dict[str, Preset] = {preset.name: preset for preset in _PRESETS}
