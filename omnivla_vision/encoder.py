"""The whole pipeline without ROS: images in, fused tokens out, the goal's tokens kept from call to call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnivla_vision.backbone import build_backbone
from omnivla_vision.engine.base import Engine
from omnivla_vision.engine.eager import EagerEngine
from omnivla_vision.goal import EncodedGoal, Goal
from omnivla_vision.preprocess import Preprocessor
from omnivla_vision.presets import Preset
from omnivla_vision.random_weights import fill_random

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What computed a set of tokens. `weights` is "random" or "checkpoint"; `fingerprint` identifies them."""

    preset: str
    weights: str
    fingerprint: str
    preprocessing_id: str
    engine: str
    precision: str
    notice: str


@dataclass(frozen=True, kw_only=True)
class TokenSet:
    """Tokens of one frame: float32 [2 * tokens_per_image, width], the current image first, then the goal.

    Without a goal its rows are zeros and `goal` is None. `stage_ms` holds the milliseconds of each stage.
    """

    tokens: Tensor
    goal: Goal | None
    provenance: Provenance
    stage_ms: dict[str, float] = field(default_factory=dict)


class VisionEncoder:
    """Encodes camera frames against a goal that is set now and then.

    Not thread-safe: one thread calls it. Every image goes through the network in a batch of one, so that the tokens of
    a cached goal are bit-equal to freshly computed ones.
    """

    def __init__(self, engine: Engine, preset: Preset, *, weights: str, fingerprint: str) -> None:
        self.preset = preset
        self.goal_encodes = 0
        self._engine = engine
        self._preprocess = Preprocessor(preset)
        self._goal: EncodedGoal | None = None
        self.provenance = Provenance(
            preset=preset.name,
            weights=weights,
            fingerprint=fingerprint,
            preprocessing_id=self._preprocess.id,
            engine=engine.name,
            precision=engine.precision,
            notice=engine.notice,
        )

    def warm_up(self) -> None:
        """Run the network once, so that the first frame is not slower than the others."""
        self._encode(np.zeros((self.preset.inputs[0].size, self.preset.inputs[0].size, 3), np.uint8), {})

    def set_goal(self, goal: Goal | None) -> bool:
        """Replace or clear the goal; the tokens of a new picture are computed now, those of the same one kept.

        Returns:
            Whether the network ran.
        """
        if goal is None:
            self._goal = None
            return False
        if self._goal is not None and self._goal.goal.id == goal.id:
            return False
        # The old goal stays in force until the new one is complete, also when encoding it fails.
        self._goal = EncodedGoal(goal=goal, tokens=self._encode(goal.rgb, {}))
        self.goal_encodes += 1
        return True

    def encode(self, rgb: Image, stage_ms: dict[str, float] | None = None) -> TokenSet:
        """Encode one camera frame, uint8 [H, W, 3], and put the goal's tokens after it.

        Args:
            rgb: the frame.
            stage_ms: timings of earlier stages, which the returned token set continues.

        Raises:
            NotAnRgbImageError: `rgb` is something else.
        """
        stage_ms = {} if stage_ms is None else stage_ms
        current = self._encode(rgb, stage_ms)
        goal = self._goal
        goal_tokens = torch.zeros_like(current) if goal is None else goal.tokens
        return TokenSet(
            tokens=torch.cat([current, goal_tokens]),
            goal=None if goal is None else goal.goal,
            provenance=self.provenance,
            stage_ms=stage_ms,
        )

    def _encode(self, rgb: Image, stage_ms: dict[str, float]) -> Tensor:
        with stage(stage_ms, "preprocess"):
            inputs = self._preprocess.pixels([rgb]) if self._engine.entry == "uint8" else self._preprocess([rgb])
        with stage(stage_ms, "encode"):
            return self._engine(inputs)[0]


def random_encoder(preset: Preset, *, seed: int = 0) -> VisionEncoder:
    """An encoder with seeded random weights, whose tokens mean nothing: announce it wherever it is used."""
    backbone = build_backbone(preset)
    fill_random(backbone, seed=seed)
    return VisionEncoder(
        EagerEngine(backbone), preset, weights="random", fingerprint=f"weights: random, seed {seed}, {preset.name}"
    )


@contextmanager
def stage(stage_ms: dict[str, float], name: str) -> Iterator[None]:
    """Add the milliseconds spent inside to `stage_ms[name]`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        stage_ms[name] = stage_ms.get(name, 0.0) + (time.perf_counter() - start) * 1e3
