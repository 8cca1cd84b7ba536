"""From names and paths to an encoder that is ready for its first frame: weights, engine, projector."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.engine import machine
from omnivla_vision.engine.base import Engine
from omnivla_vision.engine.eager import EagerEngine
from omnivla_vision.engine.select import AUTO, build_engine
from omnivla_vision.engine.start import start_reference
from omnivla_vision.engine.store_folder import StoreError, expand_store
from omnivla_vision.history.past_frames import kept_shapes
from omnivla_vision.history.ring import check_memory
from omnivla_vision.network.projector import Projector
from omnivla_vision.network.with_history import HistoryOptions, with_history
from omnivla_vision.network.with_pooling import with_pooling
from omnivla_vision.tokens.layout import FUSED, PROJECTED, check_space, image_names
from omnivla_vision.tokens.preset_layout import token_layout
from omnivla_vision.weights import PLAIN, Weights, open_weights


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """What to load and how to run it; the node's parameters and the command line's options of these names.

    Attributes:
        checkpoint: folder, file or `hub:` name; empty for random weights.
        preset: which encoders; empty: what the checkpoint says, or the default.
        seed: of random weights.
        weights: how random weights are distributed: one of `weights.DISTRIBUTIONS`.
        space: "fused", or "projected" to the language model's width.
        lora_alpha: of unmerged LoRA weights without an adapter_config.json; 0 for none.
        lora_adapter: folder of a LoRA adapter, as PEFT saves it, to merge into the checkpoint; empty for none.
        encoder_weights: where the encoders are, if the checkpoint was trained with frozen ones; empty for none.
        image_path: what the policy's own code does to its images, one of `image_paths.IMAGE_PATHS`; empty: what is
            assumed of the checkpoint, or the preset's. Engines do not depend on it.
        region: x,y,width,height in fractions: what of each image is looked at, or NAME=... of some, with semicolons;
            empty for all of it.
        mask: PNG, white where the robot's own body is, or NAME=... of some images, with semicolons; empty for none.
        history_frames: past frames whose tokens are given, too; -1: as the preset says, none for most.
        history_spacing: how far apart, see `network.history.get_spacing`; empty: as the preset says, else every frame.
        history_tolerance: seconds, see `network.history.History`; 0: half of the spacing.
        history_pool: how past frames are pooled, see `network.with_history`; empty: 2x2, or as the preset says.
        engine: one of `engine.start.ENGINES`, or "auto".
        precision: float32, bfloat16, float16, mixed, int8, or "auto".
        bundle_dir: where engine bundles are kept; empty for the user's cache.
        read_only: use bundles that are there, build none.
        gate_tolerance: how many times the gate's limits are accepted of an engine; 1 unless the user has measured that
            his own task does not mind.
        threads: CPU threads; 0 lets torch decide.
        cameras: names of the images that come together and are encoded in one batch.
        takes_goal: whether a goal's tokens follow theirs; OpenVLA has none.
        output_pool: how each image's patches are pooled, see `get_pooling`; empty: as the preset says.
    """

    checkpoint: str = ""
    preset: str = ""
    seed: int = 0
    weights: str = PLAIN
    space: str = FUSED
    lora_alpha: float = 0.0
    lora_adapter: str = ""
    encoder_weights: str = ""
    image_path: str = ""
    region: str = ""
    mask: str = ""
    history_frames: int = -1
    history_spacing: str = ""
    history_tolerance: float = 0.0
    history_pool: str = ""
    engine: str = AUTO
    precision: str = AUTO
    bundle_dir: str = ""
    read_only: bool = False
    gate_tolerance: float = 1.0
    threads: int = 0
    cameras: tuple[str, ...] = ("current",)
    takes_goal: bool = True
    output_pool: str = ""


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder, and what its user should be told about its weights and its engine, one sentence each."""

    encoder: VisionEncoder
    warnings: tuple[str, ...]


def load_encoder(options: EncoderOptions) -> LoadedEncoder:
    """Load weights, build or find the engine's bundle, and let the engine through the parity gate.

    Raises:
        UnknownSpaceError: `space` is neither fused nor projected.
        UnknownImagePathError: no such image path.
        RegionError, MaskFileError, ViewError: a region or a mask is refused.
        HistoryError: the past frames cannot be had like this.
        UnknownPoolingError, PrescribedOutputsError, PoolingError, ClassTokenError, ProjectedOutputError: the outputs
            cannot be made.
        CheckpointError, UnknownPresetError: the weights are refused.
        EngineError: the engine is refused.
    """
    check_space(options.space)
    if options.threads:
        torch.set_num_threads(options.threads)
    weights = open_weights(
        options.checkpoint,
        preset=options.preset,
        seed=options.seed,
        distribution=options.weights,
        projected=options.space == PROJECTED,
        lora_alpha=options.lora_alpha or None,
        lora_adapter=options.lora_adapter or None,
        encoder_weights=options.encoder_weights or None,
        image_path=options.image_path,
        region=options.region,
        mask=options.mask,
    )
    encoder = encoder_of(weights, options)
    notice = encoder.provenance.notice
    return LoadedEncoder(encoder, (*weights.warnings, *([notice] if notice else [])))


def encoder_of(weights: Weights, options: EncoderOptions) -> VisionEncoder:
    """An encoder of weights that are open already.

    Raises:
        HistoryError: the past frames cannot be had like this.
        ViewError: a region or a mask is for no image, or leaves nothing of one.
        UnknownPoolingError, PrescribedOutputsError, PoolingError, ClassTokenError, ProjectedOutputError: the outputs
            cannot be made.
        EngineError: the engine is refused.
    """
    # What is refused is refused now, and not after an engine was built.
    preset = with_history(with_pooling(weights.preset, options.output_pool), history_options(options))
    names = image_names(options.cameras, takes_goal=options.takes_goal)
    preset.views.among(names)
    layout = token_layout(preset, names, None if weights.projector is None else weights.projector.out_width)
    check_memory(preset.history, kept_shapes(preset, layout.frame_shapes(len(options.cameras))))
    if options.engine == "eager" and options.precision in (AUTO, "float32"):
        # The reference itself: it takes any number of images, and there is nothing to build or to compare it with.
        one: Engine = EagerEngine(weights.load())
        many = one
    else:
        # The goal goes through the network alone, so an engine for one image is always there.
        one = _engine(weights, options, images=1)
        enough = len(options.cameras) == 1 or _takes_any_number(one)
        many = one if enough else _engine(weights, options, images=len(options.cameras))
        if _takes_any_number(many):
            one = many  # goal and cameras computed alike
    return VisionEncoder(
        one,
        preset,
        weights=weights.kind,
        fingerprint=weights.fingerprint,
        backbone_fingerprint=weights.backbone_fingerprint,
        cameras=options.cameras,
        takes_goal=options.takes_goal,
        projector=weights.projector and weights.projector.to(projector_dtype(weights.projector, one.precision)),
        batch_engine=many,
    )


def history_options(options: EncoderOptions) -> HistoryOptions:
    """What they say of past frames."""
    return HistoryOptions(
        frames=options.history_frames,
        spacing=options.history_spacing,
        tolerance_s=options.history_tolerance,
        pool=options.history_pool,
    )


def projector_dtype(projector: Projector, precision: str) -> torch.dtype:
    """What the projector computes in behind an engine of that precision; it runs on the CPU, whatever the engine does.

    Never float16, in which torch takes several times as long on a CPU as in float32. bfloat16, where the CPU multiplies
    it, if that is no coarser than the engine or than the weights; else float32.
    """
    coarse = precision in ("bfloat16", "int8") or (
        precision in ("float16", "mixed") and projector.dtype == torch.bfloat16
    )
    return torch.bfloat16 if coarse and machine.has_bfloat16() else torch.float32


def _takes_any_number(engine: Engine) -> bool:
    return isinstance(engine, EagerEngine) and not engine.fixed_images


def _engine(weights: Weights, options: EncoderOptions, *, images: int) -> Engine:
    try:
        return build_engine(
            weights.load,
            preset=weights.preset,
            fingerprint=weights.backbone_fingerprint,
            engine=options.engine,
            precision=options.precision,
            images=images,
            bundle_dir=expand_store(options.bundle_dir) if options.bundle_dir else None,
            read_only=options.read_only,
            tolerance=options.gate_tolerance,
        )
    except StoreError as error:
        # The reference needs no bundle: slow tokens are better than none, and everybody is told.
        if options.engine != AUTO or options.precision not in (AUTO, "float32"):
            raise
        engine = start_reference(weights.load, weights.preset)
        engine.notice = f"{engine.name} in float32, slower than what this machine can run: {error}"
        return engine
