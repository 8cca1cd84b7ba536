"""The whole of loading: recognize, map the executed tensors, check and hash them in one pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from omnivla_vision.checkpoint.contents import Contents
from omnivla_vision.checkpoint.detect import open_checkpoint
from omnivla_vision.checkpoint.errors import (
    MissingEncodersError,
    MissingProjectorError,
    PresetConflictError,
    UnreadableFileError,
)
from omnivla_vision.checkpoint.fingerprint import fingerprint_of, tensor_digest
from omnivla_vision.checkpoint.identify import preset_of_shapes, same_architectures
from omnivla_vision.checkpoint.mapped import FileStates
from omnivla_vision.checkpoint.plan import check_projector_width, plan_backbone, plan_projector
from omnivla_vision.checkpoint.positions import ResampledPositions
from omnivla_vision.checkpoint.stored import Source, read_source
from omnivla_vision.network.backbone import Backbone, backbone_shell
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.projector import Projector, load_projector
from omnivla_vision.network.spec import Preset

# Reading, hashing and checking run outside Python's lock; more threads than this only fight for memory bandwidth.
_MAX_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Part:
    """How much of one encoder, or of the projector, is in the checkpoint and how much of it is executed."""

    name: str
    stored_parameters: int
    executed_parameters: int
    executed_bytes: int


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Loaded weights, and where everything came from.

    Tensors that did not have to be computed or converted are parts of the checkpoint's files, mapped: memory that the
    system can have back, for use while nothing writes to the files. What is to run for long takes `own_backbone` and
    `own_projector`.

    Attributes:
        preset: with the normalization and the resize in force.
        sources: where `preset`, `normalization` and `resize` came from.
        files: what they were like when they were mapped.
        backbone_state: the executed tensors, named as in `Backbone.state_dict()`.
        projector_state: named as in `Projector.state_dict()`; None if it was not asked for.
        fingerprint: SHA-256 in hexadecimal over the loaded tensors, see `checkpoint.fingerprint`.
        backbone_fingerprint: the same without the projector.
    """

    path: str
    format: str
    preset: Preset
    sources: dict[str, str]
    files: FileStates = field(repr=False)
    backbone_state: dict[str, Tensor] = field(repr=False)
    projector_state: dict[str, Tensor] | None = field(repr=False)
    fingerprint: str
    backbone_fingerprint: str
    parts: tuple[Part, ...]
    warnings: tuple[str, ...]

    @property
    def dtype(self) -> torch.dtype:
        """Of the backbone's tensors."""
        return next(iter(self.backbone_state.values())).dtype

    def backbone(self) -> Backbone:
        """The network, made of the loaded tensors themselves."""
        return _backbone(self.preset, self.backbone_state)

    def projector(self) -> Projector | None:
        """The projector, made of the loaded tensors themselves; None if it was not loaded."""
        return None if self.projector_state is None else load_projector(self.projector_state)

    def own_backbone(self, dtype: torch.dtype) -> Backbone:
        """The network, made of copies.

        Raises:
            ChangedFileError: a file is no longer what it was when it was checked.
        """
        return _backbone(self.preset, self._copies(self.backbone_state, dtype))

    def own_projector(self) -> Projector | None:
        """The projector, made of copies; None if it was not loaded. Raises as `own_backbone`."""
        if self.projector_state is None:
            return None
        return load_projector(self._copies(self.projector_state, None))

    def _copies(self, tensors: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
        copies = {name: tensor.to(dtype or tensor.dtype, copy=True) for name, tensor in tensors.items()}
        self.files.check()  # only now is it sure that these are the weights of the fingerprint
        return copies


def _backbone(preset: Preset, state: dict[str, Tensor]) -> Backbone:
    backbone = backbone_shell(preset)
    backbone.load_state_dict(state, assign=True)
    return backbone.requires_grad_(False)


def load_checkpoint(
    path: str | Path,
    *,
    preset: str | Preset | None = None,
    dtype: torch.dtype | None = None,
    projector: bool = False,
    lora_alpha: float | None = None,
    encoder_weights: str | Path | None = None,
) -> Checkpoint:
    """Map the executed tensors of a checkpoint of any supported format, check and hash them; nothing else is read.

    Args:
        path: a folder, a file, two files with a + between them, `hub:ORGANIZATION/MODEL` for a whole model, or
            `hub:PRESET` or `hub:ID[+ID]` for stock weights.
        preset: which network it is, where its files do not tell; it cannot overrule them.
        dtype: of the tensors in memory; None keeps the checkpoint's own (the widest, if a part has several).
        projector: whether to load the projector, for tokens in projected space.
        lora_alpha: of unmerged LoRA weights without an adapter_config.json.
        encoder_weights: where the encoders are (as `path`) if the checkpoint was trained with frozen ones and does
            not hold them.

    Raises:
        CheckpointError: a subclass per reason; the message says what was found, what was expected and what to do.
        UnknownPresetError, TimmPresetError, GridMismatchError: there is no such preset.
    """
    try:
        return _load(path, preset, dtype, projector, lora_alpha, encoder_weights)
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
    encoder_weights: str | Path | None,
) -> Checkpoint:
    contents = open_checkpoint(path, lora_alpha=lora_alpha)
    if not contents.encoders:
        contents = _with_encoders(contents, encoder_weights)
    chosen, preset_source = _choose_preset(contents, preset)
    configured = contents.configure(chosen)
    backbone_plan = plan_backbone(contents, configured.preset)
    check_projector_width(contents, configured.preset)
    projector_plan = _plan_projector(contents, configured.preset) if projector else {}
    files = FileStates.of({source.file for source in (*backbone_plan.values(), *projector_plan.values())})
    backbone, backbone_digests = _read_all(backbone_plan, dtype)
    projected, projector_digests = _read_all(projector_plan, dtype)
    digests = backbone_digests | {f"projector.{name}": digest for name, digest in projector_digests.items()}
    return Checkpoint(
        path=str(path),
        format=contents.format,
        preset=configured.preset,
        sources={"preset": preset_source, "normalization": configured.normalization, "resize": configured.resize},
        files=files,
        backbone_state=backbone,
        projector_state=projected if projector else None,
        fingerprint=fingerprint_of(digests),
        backbone_fingerprint=fingerprint_of(backbone_digests),
        parts=_parts(contents, configured.preset, backbone, projected),
        warnings=(*contents.warnings, *configured.warnings, *_resampled(backbone_plan)),
    )


def _read_all(plan: Mapping[str, Source], dtype: torch.dtype | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and digests, by name; in `dtype`, or in the widest that the tensors come in."""
    if not plan:
        return {}, {}
    target = dtype or reduce(torch.promote_types, (source.dtype for source in plan.values()))
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        try:
            read = list(pool.map(lambda source: read_source(source, target), plan.values()))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # the first refusal is enough
            raise
    tensors = {name: tensor for name, (tensor, _) in zip(plan, read, strict=True)}
    return tensors, {
        name: tensor_digest(source, digest) for (name, source), (_, digest) in zip(plan.items(), read, strict=True)
    }


def _choose_preset(contents: Contents, wanted: str | Preset | None) -> tuple[Preset, str]:
    if wanted is None:
        if contents.preset is not None:
            return contents.preset, contents.preset_source
        found = preset_of_shapes(contents.file, contents.encoders, resample=contents.resample)
        return found, "the tensors' shapes"
    preset = get_preset(wanted) if isinstance(wanted, str) else wanted
    if contents.preset is not None and not same_architectures(preset, contents.preset):
        raise PresetConflictError(
            contents.file,
            found=f"preset {contents.preset.name}, as {contents.preset_source} says",
            expected=f"{preset.name}, as asked for",
            advice="ask for no preset: the checkpoint knows its own",
        )
    return preset, "the request" + (f", confirmed by {contents.preset_source}" if contents.preset is not None else "")


def _with_encoders(contents: Contents, encoder_weights: str | Path | None) -> Contents:
    """Put stock encoders before the projector of a checkpoint that was trained with frozen ones."""
    if encoder_weights is None:
        stock = contents.preset.name if contents.preset is not None else "PRESET"
        raise MissingEncodersError(
            contents.file,
            key="vision_backbone",
            found="no vision weights: the encoders were frozen in training",
            expected="stock weights beside it",
            advice=f"say where they are: --encoder-weights hub:{stock}, or local .safetensors files",
        )
    stock_contents = open_checkpoint(encoder_weights)
    preset = contents.preset or stock_contents.preset
    return replace(
        stock_contents,
        format=f"{contents.format}, with encoders of {stock_contents.format}",
        projector=contents.projector,
        preset=preset,
        preset_source=contents.preset_source or stock_contents.preset_source,
        configure=contents.configure,
        warnings=(*contents.warnings, *stock_contents.warnings),
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
        f"{name}: positions resampled from {source.stored_grid}x{source.stored_grid} to {source.grid}x{source.grid}"
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
