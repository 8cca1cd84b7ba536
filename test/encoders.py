"""Encoders for tests: seeded random weights, the reference engine."""

from __future__ import annotations

from typing import Any

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.loading import EncoderOptions, encoder_of
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.spec import Preset
from omnivla_vision.weights import random_weights


def random_encoder(
    preset: str | Preset = "small", *, seed: int = 0, space: str = "fused", **options: Any
) -> VisionEncoder:
    """What the node runs with engine `eager`."""
    chosen = get_preset(preset) if isinstance(preset, str) else preset
    weights = random_weights(chosen, seed=seed, projected=space == "projected")
    return encoder_of(weights, EncoderOptions(engine="eager", space=space, **options))
