"""config.json and preprocessor_config.json beside weights of transformers' DINOv2, DINOv3 and SigLIP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omnivla_vision.checkpoint.contents import Configured
from omnivla_vision.checkpoint.errors import ConfigError
from omnivla_vision.checkpoint.json_file import read_json
from omnivla_vision.checkpoint.prismatic import configure_native
from omnivla_vision.network.presets import presets_of_files
from omnivla_vision.network.spec import EncoderSpec, Preset

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
# The defaults of `DINOv3ViTConfig` and `SiglipVisionConfig`: their files leave out what is one.
_DINOV3 = {
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "patch_size": 16,
    "image_size": 224,
    "num_register_tokens": 0,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "rope_theta": 100.0,
    "use_gated_mlp": False,
}
_SIGLIP = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "patch_size": 16,
    "image_size": 224,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
# Of DINOv2 the tensors' shapes tell, whatever size its positions are of; of SmolVLM and SmolVLA, the user.
_TOLD_OTHERWISE = ("dinov2", "smolvlm", "smolvlm_vision", "smolvla")
_DEFAULTS = {"dinov3_vit": _DINOV3, "siglip_vision_model": _SIGLIP, "siglip": _SIGLIP}
_ACTIVATIONS = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "silu": "silu"}


def preset_beside(weights: Path) -> Preset | None:
    """The table's preset of the network that config.json describes: for SigLIP, as transformers computes it; None
    without a file, or if the table has none.

    Raises:
        ConfigError: it is another model's.
    """
    file = weights.parent / CONFIG
    if not file.is_file():
        return None
    config = read_json(file)
    kind = config.get("model_type", config.get("type"))  # the second is LeRobot's
    if kind in _TOLD_OTHERWISE:
        return None
    if kind not in _DEFAULTS:
        raise ConfigError(
            file,
            key="model_type",
            found=f"{kind!r}",
            expected=f"one of {', '.join((*_DEFAULTS, *_TOLD_OTHERWISE))}",
            advice="this model is not supported; models of a fixed patch grid are",
        )
    numbers = _DEFAULTS[kind] | (config.get("vision_config") or {} if kind == "siglip" else config)
    whole = {"skipped_blocks": 0, "final_norm": True} if _DEFAULTS[kind] is _SIGLIP else {}
    expected = _numbers(numbers) | whole
    for preset in presets_of_files():
        first, *others = preset.encoders
        if not others and all(getattr(first, name) == value for name, value in expected.items()):
            return preset
    return None


def _numbers(config: dict[str, Any]) -> dict[str, Any]:
    """As `EncoderSpec` calls them."""
    gated = bool(config.get("use_gated_mlp"))
    activation = _ACTIVATIONS.get(config["hidden_act"])
    return {
        "width": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "mlp_width": config["intermediate_size"] * (2 if gated else 1),
        "patch_size": config["patch_size"],
        "image_size": (config["image_size"], config["image_size"]),
        "register_tokens": config.get("num_register_tokens", 0),
        "activation": "swiglu" if gated and activation == "silu" else activation,
        "norm_eps": config["layer_norm_eps"],
        "rope_temperature": config.get("rope_theta"),
    }


def configure_beside(weights: Sequence[Path], preset: Preset) -> Configured:
    """Put each encoder's means and deviations, where there is a preprocessor_config.json with them, into the preset.

    The resize stays the preset's: policies resize by themselves, and rarely as transformers' processors would.

    Args:
        weights: one file per encoder.
        preset: what to change.

    Raises:
        ConfigError: they are no numbers.
    """
    configured = configure_native(preset, strategy=None, source="")
    encoders, sources = [], set()
    # Of files for another number of encoders than the preset's, the plan tells.
    for spec, file in zip(configured.preset.encoders, weights, strict=False):
        changed = _normalized(file.parent / PREPROCESSOR, spec)
        sources.add(f"preset {preset.name}" if changed is None else PREPROCESSOR)
        encoders.append(changed or spec)
    return replace(
        configured,
        preset=replace(configured.preset, encoders=(*encoders, *configured.preset.encoders[len(encoders) :])),
        normalization=", ".join(sorted(sources)),
    )


def _normalized(file: Path, spec: EncoderSpec) -> EncoderSpec | None:
    config = read_json(file) if file.is_file() else {}
    mean: Any = config.get("image_mean")
    std: Any = config.get("image_std")
    if mean is None and std is None:
        return None
    for values, lowest in ((mean, -math.inf), (std, 0.0)):
        numbers = isinstance(values, list) and len(values) == 3 and all(type(v) in (int, float) for v in values)
        if not numbers or not all(math.isfinite(v) and v > lowest for v in values):
            raise ConfigError(
                file,
                key="image_mean, image_std",
                found=f"{mean!r}, {std!r}",
                expected="three finite numbers each, deviations above 0",
                advice="correct the file, or restore the original",
            )
    return replace(spec, mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))
