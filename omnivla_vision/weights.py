"""A network's weights, wherever they come from: a checkpoint, or seeded random values that are announced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.checkpoint.errors import AdapterWithoutBaseError
from omnivla_vision.errors import VisionError
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.image_paths import get_image_path
from omnivla_vision.network.presets import DEFAULT_PRESET, get_preset
from omnivla_vision.network.projector import Projector, build_projector, projector_widths
from omnivla_vision.network.random_weights import fill_random
from omnivla_vision.network.realistic_weights import NO_ODDITIES, REALISTIC, Oddities, describe, fill_realistic
from omnivla_vision.network.region import Region
from omnivla_vision.network.spec import Preset
from omnivla_vision.network.views import Views, named_entries

RANDOM = "random"
CHECKPOINT = "checkpoint"
# How random weights are distributed: benign, or with the outliers of real networks.
PLAIN, REAL = "plain", "realistic"
DISTRIBUTIONS = (PLAIN, REAL)
ODDITIES = {PLAIN: NO_ODDITIES, REAL: REALISTIC}


class UnknownDistributionError(VisionError):
    """Random weights are either plain or realistic."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of a preset.

    Attributes:
        kind: "random" or "checkpoint".
        preset: with the checkpoint's own normalization and resize, the image path, regions and masks in force.
        fingerprint: identifies the backbone's weights, and the projector's if there is one.
        backbone_fingerprint: the same without the projector, which no engine depends on.
        load: the backbone in float32, in memory of its own; called only when an engine must be built.
        projector: for tokens in projected space, in memory of its own too, or None.
        warnings: what a user should know, one sentence each.
    """

    kind: str
    preset: Preset
    fingerprint: str
    backbone_fingerprint: str
    load: Callable[[], Backbone]
    projector: Projector | None = None
    warnings: tuple[str, ...] = field(default=())


def open_weights(
    checkpoint: str | Path = "",
    *,
    preset: str = "",
    seed: int = 0,
    distribution: str = PLAIN,
    projected: bool = False,
    lora_alpha: float | None = None,
    lora_adapter: str | Path | None = None,
    encoder_weights: str | Path | None = None,
    image_path: str = "",
    region: str = "",
    mask: str = "",
) -> Weights:
    """Weights of a checkpoint, or seeded random ones.

    Args:
        checkpoint: as `load_checkpoint` takes it; empty or "random" for random weights.
        preset: which encoders; empty: what the checkpoint says, or the default with random weights.
        seed: of the random weights.
        distribution: of the random weights, one of DISTRIBUTIONS.
        projected: whether the projector is needed too.
        lora_alpha: see `load_checkpoint`.
        lora_adapter: see `load_checkpoint`.
        encoder_weights: see `load_checkpoint`.
        image_path: one of `image_paths.IMAGE_PATHS`; empty: what is assumed of the checkpoint, or the preset's.
        region: see `open_views`.
        mask: see `open_views`.

    Raises:
        CheckpointError: a subclass per reason for which the checkpoint is refused.
        UnknownPresetError: no such preset.
        UnknownImagePathError: no such image path.
        RegionError, MaskFileError, ViewError: a region or a mask is refused.
        UnknownDistributionError: no such distribution.
        AdapterWithoutBaseError: an adapter, and random weights.
    """
    if distribution not in DISTRIBUTIONS:
        raise UnknownDistributionError(
            f"unknown distribution of random weights {distribution!r}; expected one of {', '.join(DISTRIBUTIONS)}"
        )
    views = open_views(region, mask)
    if str(checkpoint) in ("", RANDOM):
        if lora_adapter is not None:
            raise AdapterWithoutBaseError(
                lora_adapter,
                found="a LoRA adapter for random weights",
                expected="a checkpoint: the weights that were adapted",
                advice="give the checkpoint too, or no adapter",
            )
        chosen = get_preset(preset or DEFAULT_PRESET)
        if image_path:
            chosen = replace(chosen, image_path=get_image_path(image_path))
        chosen = replace(chosen, views=views)
        return random_weights(chosen, seed=seed, oddities=ODDITIES[distribution], projected=projected)
    loaded = load_checkpoint(
        checkpoint,
        preset=preset or None,
        projector=projected,
        lora_alpha=lora_alpha,
        lora_adapter=lora_adapter,
        encoder_weights=encoder_weights,
        image_path=image_path or None,
    )
    return Weights(
        kind=CHECKPOINT,
        preset=replace(loaded.preset, views=views),
        fingerprint=loaded.fingerprint,
        backbone_fingerprint=loaded.backbone_fingerprint,
        load=lambda: loaded.own_backbone(torch.float32),
        projector=loaded.own_projector(),
        warnings=loaded.warnings,
    )


def open_views(region: str = "", mask: str = "") -> Views:
    """Regions and masks as the node's parameters and the command line's options name them.

    Args:
        region: `x,y,width,height` in fractions for every image, or `front=0,0,1,0.8; goal=0,0,1,1`.
        mask: a PNG, white where the robot's own body is, for every image, or `front=a.png; wrist=b.png`.

    Raises:
        RegionError, MaskFileError, ViewError: the message says why.
    """
    regions = tuple((name, Region.parse(numbers)) for name, numbers in named_entries(region))
    if not mask:
        return Views(regions=regions)
    # Here and not above: a policy's process that has no mask needs no OpenCV.
    from omnivla_vision.images.mask_file import read_mask

    return Views(regions=regions, masks=tuple((name, read_mask(Path(file))) for name, file in named_entries(mask)))


def random_weights(
    preset: Preset, *, seed: int = 0, oddities: Oddities = NO_ODDITIES, projected: bool = False
) -> Weights:
    """Seeded random weights, whose tokens mean nothing.

    Args:
        preset: which encoders.
        seed: of every tensor.
        oddities: what of real networks they have; nothing by default.
        projected: whether to make a projector too.
    """

    def load() -> Backbone:
        backbone = build_backbone(preset)
        fill_realistic(backbone, seed=seed, oddities=oddities)
        return backbone

    projector = None
    if projected:
        projector = build_projector(projector_widths(preset.width, len(preset.encoders)))
        fill_random(projector, seed=seed)
    fingerprint = random_fingerprint(preset.name, seed=seed, oddities=oddities)
    return Weights(
        kind=RANDOM,
        preset=preset,
        fingerprint=fingerprint,
        backbone_fingerprint=fingerprint,
        load=load,
        projector=projector,
        warnings=(announcement(seed, oddities),),
    )


def random_fingerprint(preset: str, *, seed: int, oddities: Oddities) -> str:
    """What random weights of a preset are made from."""
    return f"weights: random, seed {seed}, {preset}{_with(oddities)}"


def is_random(fingerprint: str, preset: str, distribution: str) -> bool:
    """Whether a fingerprint is that of random weights of a distribution, whatever their seed."""
    end = f", {preset}{_with(ODDITIES[distribution])}"
    return fingerprint.startswith("weights: random, seed ") and fingerprint.endswith(end)


def announcement(seed: int, oddities: Oddities = NO_ODDITIES) -> str:
    """What everybody must be told who uses random weights."""
    return (
        f"RANDOM WEIGHTS (seed {seed}{_with(oddities)}): no checkpoint is loaded, the tokens have the right shape and "
        "mean nothing. Do not drive a robot with them."
    )


def _with(oddities: Oddities) -> str:
    return "" if oddities == NO_ODDITIES else f", {describe(oddities)}"
