"""What a policy's checkpoint says about the tokens that it can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from omnivla_vision.checkpoint.errors import MissingProjectorError
from omnivla_vision.network.preprocessing_id import preprocessing_id
from omnivla_vision.network.projector import Projector
from omnivla_vision.network.spec import Preset
from omnivla_vision.network.with_pooling import with_pooling
from omnivla_vision.policy.errors import RandomWeightsError
from omnivla_vision.tokens.layout import FUSED, PROJECTED, TokenLayout, check_space
from omnivla_vision.tokens.preset_layout import token_layout
from omnivla_vision.weights import CHECKPOINT, RANDOM, Weights, open_weights

# Enough to tell two models apart.
_ROWS = 16


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What tokens must be to be a policy's own.

    Attributes:
        preset: the encoders, with the regions, masks, image path, resize and normalization in force.
        layout: outputs, names of the images, space, rows and columns.
        fingerprint: of the weights, the projector's included in projected space; empty: random weights will do.
        backbone_fingerprint: the same without the projector's.
        preprocessing_id: of regions, masks, image path, resize and normalization.
        projector_rows: the first of the projector's first layer, [rows, width] as stored, by which `attach` knows the
            checkpoint's model; None if the checkpoint has no projector.
        warnings: what the user should know of the checkpoint, one sentence each.
    """

    preset: Preset
    layout: TokenLayout
    fingerprint: str
    backbone_fingerprint: str
    preprocessing_id: str
    projector_rows: Tensor | None
    warnings: tuple[str, ...]


def expect(
    checkpoint: str | Path,
    *,
    images: Sequence[str] = ("current", "goal"),
    space: str = FUSED,
    pool: str = "",
    allow_random: bool = False,
    **options: Any,
) -> Expectation:
    """Read a checkpoint's vision weights (1.4 GB in bfloat16, once, seconds) for their fingerprints.

    Args:
        checkpoint: the policy's folder, as `load_checkpoint` takes it; empty with `allow_random`.
        images: names of the images that the policy takes, in its order; the goal, where there is one, is "goal".
        space: "fused", or "projected" where the node is to run the projector, too.
        pool: the node's `output.pool`; empty: as the preset says.
        allow_random: take tokens of random weights, and of any: for trying things out, never for driving.
        **options: of `open_weights`: `preset`, `image_path`, `region`, `mask`, `encoder_weights`, `lora_adapter`,
            `lora_alpha`.

    Raises:
        CheckpointError, UnknownPresetError: the checkpoint is refused.
        UnknownSpaceError: `space` is neither.
        RandomWeightsError: no checkpoint, without `allow_random`.
        RegionError, MaskFileError, ViewError: a region or a mask is refused.
        UnknownPoolingError, PrescribedOutputsError, PoolingError, ClassTokenError, ProjectedOutputError: no node
            makes such outputs.
    """
    check_space(space)
    projected = space == PROJECTED
    weights = _open(checkpoint, projected, options)
    if weights.kind != CHECKPOINT and not allow_random:
        raise RandomWeightsError(
            "found no checkpoint; expected the policy's, whose tokens alone are those that it was trained with; give "
            "its folder, or allow random weights to try things out without driving"
        )
    projector = weights.projector
    projected_width = projector.out_width if projected and projector is not None else None
    fingerprint = weights.fingerprint if projected else weights.backbone_fingerprint
    preset = with_pooling(replace(weights.preset, views=weights.preset.views.among(images)), pool)
    return Expectation(
        preset=preset,
        layout=token_layout(preset, tuple(images), projected_width),
        fingerprint="" if allow_random else fingerprint,
        backbone_fingerprint="" if allow_random else weights.backbone_fingerprint,
        preprocessing_id=preprocessing_id(preset),
        projector_rows=_first_rows(projector) if projector is not None and weights.kind == CHECKPOINT else None,
        warnings=weights.warnings,
    )


def _open(checkpoint: str | Path, projected: bool, options: dict[str, Any]) -> Weights:
    """With the projector, if there is one, also where only the backbone's tokens will be taken."""
    if projected or str(checkpoint) in ("", RANDOM):
        return open_weights(checkpoint, projected=projected, **options)
    try:
        return open_weights(checkpoint, projected=True, **options)
    except MissingProjectorError:
        return open_weights(checkpoint, **options)


def _first_rows(projector: Projector) -> Tensor:
    return projector.state_dict()["fc1.weight"][:_ROWS].clone()
