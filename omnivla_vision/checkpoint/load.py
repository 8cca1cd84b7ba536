"""The whole of loading: recognize, map the executed tensors, check and hash them in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from omnivla_vision.checkpoint.adapt import adapt
from omnivla_vision.checkpoint.adapter_folder import read_adapter
from omnivla_vision.checkpoint.assumed_path import adapted_path, choose_path
from omnivla_vision.checkpoint.contents import Contents
from omnivla_vision.checkpoint.detect import open_checkpoint
from omnivla_vision.checkpoint.errors import MissingProjectorError, UnreadableFileError
from omnivla_vision.checkpoint.fingerprint import fingerprint_of
from omnivla_vision.checkpoint.identify import choose_preset
from omnivla_vision.checkpoint.loaded import Checkpoint, Part
from omnivla_vision.checkpoint.mapped import FileStates
from omnivla_vision.checkpoint.merged_adapter import merged_adapter
from omnivla_vision.checkpoint.plan import check_projector_width, plan_backbone, plan_projector
from omnivla_vision.checkpoint.positions import ResampledPositions
from omnivla_vision.checkpoint.read_tensors import read_all
from omnivla_vision.checkpoint.stock_encoders import with_encoders
from omnivla_vision.checkpoint.stored import Source
from omnivla_vision.checkpoint.unsupported import beside_warnings
from omnivla_vision.network.spec import Preset


def load_checkpoint(
    path: str | Path,
    *,
    preset: str | Preset | None = None,
    dtype: torch.dtype | None = None,
    projector: bool = False,
    lora_alpha: float | None = None,
    lora_adapter: str | Path | None = None,
    encoder_weights: str | Path | None = None,
    image_path: str | None = None,
) -> Checkpoint:
    """Map the executed tensors of a checkpoint of any supported format, check and hash them; nothing else is read.

    Args:
        path: a folder, a file, two files with a + between them, `hub:ORGANIZATION/MODEL` for a whole model, or
            `hub:PRESET` or `hub:ID[+ID]` for stock weights.
        preset: which network it is, where its files do not tell; it cannot overrule them.
        dtype: of the tensors in memory; None keeps the checkpoint's own (the widest, if a part has several).
        projector: whether to load the projector, for tokens in projected space.
        lora_alpha: of unmerged LoRA weights without an adapter_config.json.
        lora_adapter: the folder of a LoRA adapter, as PEFT saves it, to be merged into the checkpoint's weights.
        encoder_weights: where the encoders are (as `path`) if the checkpoint was trained with frozen ones and does
            not hold them.
        image_path: what the policy's own code does to its images, one of `image_paths.IMAGE_PATHS`; None for what is
            assumed of the checkpoint, or the preset's.

    Raises:
        UnknownImagePathError: no such path.
        CheckpointError: a subclass per reason; the message says what was found, what was expected and what to do.
        UnknownPresetError, TimmPresetError, GridMismatchError: there is no such preset.
    """
    try:
        return _load(path, preset, dtype, projector, lora_alpha, lora_adapter, encoder_weights, image_path)
    except OSError as error:
        raise UnreadableFileError(
            error.filename or path,
            found=error.strerror or str(error),
            expected="a file that can be read",
            advice="correct the permissions, or copy the checkpoint to a disk that is sound",
        ) from error


def _load(
    path: str | Path,
    preset: str | Preset | None,
    dtype: torch.dtype | None,
    projector: bool,
    lora_alpha: float | None,
    lora_adapter: str | Path | None,
    encoder_weights: str | Path | None,
    image_path: str | None,
) -> Checkpoint:
    contents = open_checkpoint(path, lora_alpha=lora_alpha)
    if not contents.encoders:
        contents = with_encoders(contents, encoder_weights)
    chosen, preset_source = choose_preset(contents, preset)
    adapter = None if lora_adapter is None else read_adapter(lora_adapter, alpha=lora_alpha)
    ignored: tuple[str, ...] = ()
    assumed = contents.image_path
    if adapter is not None:
        contents, ignored = adapt(contents, adapter, chosen)
        assumed = adapted_path(assumed, adapter.folder)
    configured = contents.configure(chosen)
    images = choose_path(image_path, assumed, chosen)
    backbone_plan = plan_backbone(contents, configured.preset)
    check_projector_width(contents, configured.preset)
    projector_plan = _plan_projector(contents, configured.preset) if projector else {}
    plan = backbone_plan | {f"projector.{name}": source for name, source in projector_plan.items()}
    files = FileStates.of({file for source in plan.values() for file in source.files})
    backbone, backbone_digests = read_all(backbone_plan, dtype)
    projected, projector_digests = read_all(projector_plan, dtype)
    digests = backbone_digests | {f"projector.{name}": digest for name, digest in projector_digests.items()}
    return Checkpoint(
        path=str(path),
        format=contents.format,
        preset=replace(configured.preset, image_path=images.path),
        sources={
            "preset": preset_source,
            "normalization": configured.normalization,
            "resize": configured.resize,
            "image_path": images.source,
        },
        files=files,
        backbone_state=backbone,
        projector_state=projected if projector else None,
        fingerprint=fingerprint_of(digests),
        backbone_fingerprint=fingerprint_of(backbone_digests),
        parts=_parts(contents, configured.preset, backbone, projected),
        warnings=(
            *contents.warnings,
            *beside_warnings(contents.adapter_beside, adapter.folder if adapter else None),
            *configured.warnings,
            *images.warnings,
            *_resampled(backbone_plan),
        ),
        adapter=merged_adapter(plan, str(adapter.folder) if adapter else "", ignored),
    )


def _plan_projector(contents: Contents, preset: Preset) -> dict[str, Source]:
    if not contents.projector:
        raise MissingProjectorError(
            contents.file,
            key="projector",
            found="no projector",
            expected="one, for tokens in projected space",
            advice="use fused space, or a checkpoint with a projector (OpenVLA, OmniVLA, Prismatic)",
        )
    return plan_projector(contents, preset)


def _resampled(plan: Mapping[str, Source]) -> tuple[str, ...]:
    return tuple(
        f"{name}: positions resampled from {source.stored_grid} to {source.grid}"
        for name, source in plan.items()
        if isinstance(source, ResampledPositions)
    )


def _parts(
    contents: Contents, preset: Preset, backbone: Mapping[str, Tensor], projector: Mapping[str, Tensor]
) -> tuple[Part, ...]:
    def part(name: str, stored: Mapping[str, Source], executed: list[Tensor]) -> Part:
        return Part(
            name=name,
            stored_parameters=sum(prod(source.shape) for source in stored.values()),
            executed_parameters=sum(tensor.numel() for tensor in executed),
            executed_bytes=sum(tensor.nbytes for tensor in executed),
        )

    parts = [
        part(spec.name, stored, [tensor for name, tensor in backbone.items() if name.split(".")[1] == spec.name])
        for spec, stored in zip(preset.encoders, contents.encoders, strict=True)
    ]
    if contents.projector:
        parts.append(part("projector", contents.projector, list(projector.values())))
    return tuple(parts)
