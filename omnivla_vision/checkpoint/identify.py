"""Which preset a checkpoint is: by Prismatic's id, by timm's ids, or by the shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from omnivla_vision.checkpoint.contents import Contents
from omnivla_vision.checkpoint.errors import AmbiguousCheckpointError, PresetConflictError, UnknownFormatError
from omnivla_vision.checkpoint.stored import Source
from omnivla_vision.network.presets import DEFAULT_PRESET, PRESETS, TIMM_PREFIX, get_preset, presets_of_files
from omnivla_vision.network.spec import EncoderSpec, Preset

# Prismatic's `vision_backbone_id`, from `configuration_prismatic.py` of OpenVLA.
PRISMATIC_IDS = {
    "dinosiglip-vit-so-224px": "dinosiglip-224",
    "dinosiglip-vit-so-384px": "dinosiglip-384",
    "dinoclip-vit-l-336px": "dinoclip-336",
    "siglip-vit-so400m": "siglip-224",
    "siglip-vit-so400m-384px": "siglip-384",
    "dinov2-vit-l": "dinov2-l-reg4-224",
    "clip-vit-l": "clip-l-224",
    "clip-vit-l-336px": "clip-l-336",
}


def choose_preset(contents: Contents, wanted: str | Preset | None) -> tuple[Preset, str]:
    """The preset that a checkpoint is to be loaded with, and what said so; `wanted` cannot overrule the files.

    Raises:
        PresetConflictError: it tries to.
        AmbiguousCheckpointError, UnknownFormatError: neither files nor request tell.
        UnknownPresetError, TimmPresetError, GridMismatchError: there is no such preset.
    """
    if wanted is None:
        if contents.preset is not None:
            return contents.preset, contents.preset_source
        found = preset_of_shapes(contents.file, contents.encoders, resample=contents.resample)
        return found, "the tensors' shapes"
    preset = get_preset(wanted) if isinstance(wanted, str) else wanted
    if contents.preset is not None and not _same_weights(preset, contents.preset, sized=not contents.resample):
        raise PresetConflictError(
            contents.file,
            found=f"preset {contents.preset.name}, as {contents.preset_source} says",
            expected=f"{preset.name}, as asked for",
            advice="ask for no preset: the checkpoint knows its own",
        )
    return preset, "the request" + (f", confirmed by {contents.preset_source}" if contents.preset is not None else "")


def preset_of_timm_ids(ids: Sequence[str], sizes: Sequence[int] | None = None) -> Preset:
    """The table's preset for these models and input sizes, else one from timm's configuration.

    A tag (`.webli`) counts only where both have one. Of several presets the table's first is taken: without a tag
    `vit_so400m_patch14_siglip_224` means SigLIP, as in OpenVLA, and not SigLIP 2, as in today's timm.

    Raises:
        TimmPresetError: not in the table, and timm makes none either.
        GridMismatchError: the grids differ.
    """
    for preset in presets_of_files():
        same_models = len(preset.encoders) == len(ids) and all(
            _same_model(spec.timm_id, timm_id) for spec, timm_id in zip(preset.encoders, ids, strict=True)
        )
        if same_models and (sizes is None or [spec.image_size for spec in preset.encoders] == _squares(sizes)):
            return preset
    parts = [f"{timm_id}@{size}" for timm_id, size in zip(ids, sizes, strict=True)] if sizes else ids
    return get_preset(TIMM_PREFIX + "+".join(parts))


def encoder_of_timm_id(timm_id: str, image_size: int) -> EncoderSpec:
    """One model at an input size, whichever preset has it.

    Raises:
        TimmPresetError: none has it, and timm makes none either.
    """
    for spec in (spec for preset in presets_of_files() for spec in preset.encoders):
        if _same_model(spec.timm_id, timm_id) and [spec.image_size] == _squares([image_size]):
            return spec
    return get_preset(f"{TIMM_PREFIX}{timm_id}@{image_size}").encoders[0]


def _same_weights(one: Preset, other: Preset, *, sized: bool) -> bool:
    """Whether two presets take the same weights: at the same input sizes, unless their positions are resampled."""
    first, second = (
        [(spec.architecture, spec.image_size if sized else None) for spec in preset.encoders] for preset in (one, other)
    )
    return first == second


def _squares(sides: Sequence[int]) -> list[tuple[int, int]]:
    return [(side, side) for side in sides]


def preset_of_shapes(file: Path, encoders: Sequence[Mapping[str, Source]], *, resample: bool) -> Preset:
    """The only preset whose networks have these shapes; the default one if a pair fits none, to name what differs.

    Raises:
        AmbiguousCheckpointError: several presets have them.
        UnknownFormatError: a single encoder that fits none.
    """
    fitting = [
        preset
        for preset in presets_of_files()
        if len(preset.encoders) == len(encoders)
        and all(_fits(spec, tensors, resample) for spec, tensors in zip(preset.encoders, encoders, strict=True))
    ]
    if len(fitting) > 1:
        raise AmbiguousCheckpointError(
            file,
            found=f"tensors that fit presets {', '.join(preset.name for preset in fitting)}",
            expected="a config.json that names one",
            advice="say which with --preset",
        )
    if not fitting and len(encoders) == 1:
        raise UnknownFormatError(
            file,
            found="an encoder of shapes that no preset has",
            expected=f"one of {', '.join(p.name for p in presets_of_files() if len(p.encoders) == 1)}",
            advice="say which model it is with --preset timm:ID",
        )
    return fitting[0] if fitting else PRESETS[DEFAULT_PRESET]


def _fits(spec: EncoderSpec, tensors: Mapping[str, Source], resample: bool) -> bool:
    def shape(key: str) -> tuple[int, ...] | None:
        return tensors[key].shape if key in tensors else None

    blocks = {int(match[1]) for key in tensors if (match := re.match(r"blocks\.(\d+)\.", key))}
    positions = spec.grid.tokens + (spec.prefix_tokens if spec.embed_prefix else 0)
    return (
        shape("patch_embed.proj.weight") == (spec.width, 3, spec.patch_size, spec.patch_size)
        and ("pos_embed" in tensors) == (spec.rope_temperature is None)
        and (resample or spec.rope_temperature is not None or shape("pos_embed") == (1, positions, spec.width))
        and ("cls_token" in tensors, "reg_token" in tensors) == (spec.class_token, spec.register_tokens > 0)
        and ("norm_pre.weight" in tensors) == spec.pre_norm
        and len(blocks) == spec.depth
    )


def _same_model(one: str, other: str) -> bool:
    (name, _, tag), (other_name, _, other_tag) = one.partition("."), other.partition(".")
    return name == other_name and (not tag or not other_tag or tag == other_tag)
