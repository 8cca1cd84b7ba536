"""Encoders for tests: seeded random weights, the reference engine."""

from __future__ import annotations

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.loading import EncoderOptions, load_encoder


def random_encoder(preset: str = "small", *, seed: int = 0) -> VisionEncoder:
    """What the node runs with engine `eager`."""
    return load_encoder(EncoderOptions(preset=preset, seed=seed, engine="eager")).encoder
