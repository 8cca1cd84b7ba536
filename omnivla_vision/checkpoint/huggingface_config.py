"""config.json and preprocessor_config.json of a Hugging Face folder -> preset, normalization, resize."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

from omnivla_vision.checkpoint.contents import Configured
from omnivla_vision.checkpoint.errors import ConfigError
from omnivla_vision.checkpoint.identify import PRISMATIC_IDS, preset_of_timm_ids
from omnivla_vision.checkpoint.json_file import read_json
from omnivla_vision.errors import VisionError
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.spec import EncoderSpec, Interpolation, Preset, Resize, Strategy, Triple

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
# PIL's constants, which torchvision's parameters hold.
_PIL_INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def preset_of_config(folder: Path, encoders: int) -> tuple[Preset | None, str]:
    """The preset that config.json names, if there is one and it does, and the name of the file.

    Raises:
        ConfigError: it is broken or contradicts itself or the tensors.
    """
    file = folder / CONFIG
    if not file.is_file():
        return None, ""
    config = read_json(file)
    identity, timm_ids, sizes = (config.get(key) for key in ("vision_backbone_id", "timm_model_ids", "image_sizes"))
    if identity is None and timm_ids is None:
        return None, ""
    try:
        if identity in PRISMATIC_IDS:
            preset = get_preset(PRISMATIC_IDS[identity])
        elif isinstance(timm_ids, list) and timm_ids:
            preset = preset_of_timm_ids([str(timm_id) for timm_id in timm_ids], sizes)
        else:
            raise _config_error(file, "vision_backbone_id", identity, f"one of {', '.join(PRISMATIC_IDS)}")
    except VisionError as error:
        if isinstance(error, ConfigError):
            raise
        raise _config_error(file, "timm_model_ids", timm_ids, f"models that can be run ({error})") from error
    activations = config.get("timm_override_act_layers")
    _agree(file, "timm_model_ids", _names(timm_ids), [spec.architecture for spec in preset.encoders])
    _agree(file, "image_sizes", sizes, [spec.image_size.height for spec in preset.encoders])  # squares
    _agree(file, "use_fused_vision_backbone", config.get("use_fused_vision_backbone"), len(preset.encoders) == 2)
    if isinstance(activations, list) and any(activations):
        ran = [spec.activation if found else None for found, spec in zip(activations, preset.encoders, strict=False)]
        _agree(file, "timm_override_act_layers", activations, ran)
    if len(preset.encoders) != encoders:
        raise _config_error(file, "vision_backbone_id", identity or timm_ids, f"a preset of {encoders} encoders")
    return preset, CONFIG


def configure_from(folder: Path) -> Callable[[Preset], Configured]:
    """What puts the folder's preprocessor_config.json into a preset; without one the preset stays as it is."""
    file = folder / PREPROCESSOR
    if file.is_file():
        return partial(_configure, file)
    return lambda preset: Configured(
        preset=preset, normalization=f"preset {preset.name}", resize=f"preset {preset.name}"
    )


def _configure(file: Path, preset: Preset) -> Configured:
    config = read_json(file)
    encoders, sources, resizes = [], set(), set()
    strategy = _strategy(file, config)
    for place, spec in enumerate(preset.encoders):
        size = _item(file, config, "input_sizes", place, len(preset.encoders))
        if size is not None:
            _agree(file, f"input_sizes[{place}]", size, [3, *spec.image_size])
        spec, source = _normalized(file, config, place, spec, len(preset.encoders))
        sources.add(source)
        resize, source = _resize(file, config, place, spec, strategy, len(preset.encoders))
        resizes.add(source)
        encoders.append(replace(spec, resize=resize))
    return Configured(
        preset=replace(preset, encoders=tuple(encoders)),
        normalization=", ".join(sorted(sources)),
        resize=", ".join(sorted(resizes)),
    )


def _normalized(
    file: Path, config: dict[str, Any], place: int, spec: EncoderSpec, encoders: int
) -> tuple[EncoderSpec, str]:
    """`tvf_normalize_params` is what OpenVLA's processor applies; `means` and `stds` are where it came from."""
    params = _item(file, config, "tvf_normalize_params", place, encoders)
    if params is not None:
        key, mean, std = f"tvf_normalize_params[{place}]", params.get("mean"), params.get("std")
    else:
        key = "means/stds"
        mean, std = (_item(file, config, name, place, encoders) for name in ("means", "stds"))
    if mean is None and std is None:
        return spec, f"preset, for lack of means in {PREPROCESSOR}"
    for values, lowest in ((mean, -math.inf), (std, 0.0)):
        numbers = isinstance(values, list) and len(values) == 3 and all(type(v) in (int, float) for v in values)
        if not numbers or not all(math.isfinite(v) and v > lowest for v in values):
            raise _config_error(file, key, {"mean": mean, "std": std}, "three finite numbers each, deviations above 0")
    source = f"{PREPROCESSOR} ({key.partition('[')[0]})"
    return replace(spec, mean=cast(Triple, tuple(mean)), std=cast(Triple, tuple(std))), source


def _strategy(file: Path, config: dict[str, Any]) -> Strategy | None:
    found = config.get("image_resize_strategy")
    if found is not None and found not in get_args(Strategy):
        raise _config_error(file, "image_resize_strategy", found, f"one of {', '.join(get_args(Strategy))}")
    return cast("Strategy | None", found)


def _resize(
    file: Path, config: dict[str, Any], place: int, spec: EncoderSpec, strategy: Strategy | None, encoders: int
) -> tuple[Resize, str]:
    params = _item(file, config, "tvf_resize_params", place, encoders) or {}
    letterbox, size = config.get("tvf_do_letterbox"), params.get("size")
    side, square = spec.image_size.height, list(spec.image_size)
    if size is not None and size not in (side, square):
        raise _config_error(file, f"tvf_resize_params[{place}].size", size, f"{side} or {square}")
    if strategy is None and (letterbox is not None or size is not None):
        strategy = "letterbox" if letterbox else "resize-naive" if size == square else "resize-crop"
    if strategy is None:
        return spec.resize, f"preset, for lack of image_resize_strategy in {PREPROCESSOR}"
    if letterbox is not None:
        _agree(file, "tvf_do_letterbox", letterbox, strategy == "letterbox")
    if size is not None and strategy != "letterbox":  # a letterboxed image is square: both sizes mean the same
        expected = square if strategy == "resize-naive" else side
        _agree(file, f"tvf_resize_params[{place}].size", size, expected)
    if params.get("antialias") is False:
        raise _config_error(file, f"tvf_resize_params[{place}].antialias", False, "true: PIL always antialiases")
    return (
        Resize(
            strategy=strategy,
            interpolation=_interpolation(file, config, place, spec, params, encoders),
            fill=_fill(file, config) if strategy == "letterbox" else (0, 0, 0),
        ),
        f"{PREPROCESSOR} (image_resize_strategy)",
    )


def _interpolation(
    file: Path, config: dict[str, Any], place: int, spec: EncoderSpec, params: dict[str, Any], encoders: int
) -> Interpolation:
    named = _item(file, config, "interpolations", place, encoders)
    used = params.get("interpolation", named)
    used = _PIL_INTERPOLATIONS.get(used, used) if isinstance(used, int) else used
    if used is None:
        return spec.resize.interpolation
    if used not in get_args(Interpolation):
        raise _config_error(file, f"interpolations[{place}]", used, f"one of {', '.join(get_args(Interpolation))}")
    return cast(Interpolation, used)


def _fill(file: Path, config: dict[str, Any]) -> tuple[int, int, int]:
    """The border's colour. OpenVLA's processor pads once for all encoders, with the last one's mean."""
    fill = config.get("tvf_letterbox_fill") or [
        int(value * 255) for value in (config.get("means") or [[0.5, 0.5, 0.5]])[-1]
    ]
    if not isinstance(fill, list) or len(fill) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in fill):
        raise _config_error(file, "tvf_letterbox_fill", fill, "three integers of 0 to 255")
    return fill[0], fill[1], fill[2]


def _item(file: Path, config: dict[str, Any], key: str, place: int, encoders: int) -> Any:
    """The entry of one encoder in a list that has one for each."""
    entries = config.get(key)
    if entries is None:
        return None
    if not isinstance(entries, list) or len(entries) != encoders:
        raise _config_error(file, key, entries, f"a list of {encoders}, one entry for each encoder")
    return entries[place]


def _names(timm_ids: Any) -> Any:
    """Without the tags, which name weights that the checkpoint replaces."""
    return [str(timm_id).partition(".")[0] for timm_id in timm_ids] if isinstance(timm_ids, list) else timm_ids


def _agree(file: Path, key: str, found: Any, expected: Any) -> None:
    if found is not None and found != expected:
        raise _config_error(file, key, found, f"{expected}, as the rest of the configuration has it")


def _config_error(file: Path, key: str, found: Any, expected: str) -> ConfigError:
    return ConfigError(
        file, key=key, found=f"{found!r}", expected=expected, advice="correct the file, or restore the original"
    )
