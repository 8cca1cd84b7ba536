"""The network replaced by a constant, so that only what surrounds it is measured or tested."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.engine.base import Entry
from omnivla_vision.network.spec import Preset


class ConstantEngine:
    """An engine that gives every image the same features, after a while in which it holds neither core nor lock."""

    name = "constant"
    precision = "float32"
    notice = ""
    entry: Entry = "uint8"  # as every engine but the reference

    def __init__(self, preset: Preset, encode_s: float) -> None:
        self._encode_s = encode_s
        self._features = [torch.linspace(-1, 1, spec.width).repeat(spec.rows, 1) for spec in preset.encoders]

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        time.sleep(self._encode_s)
        return tuple(features.expand(len(inputs[0]), -1, -1) for features in self._features)


def constant_encoder(preset: Preset, *, encode_s: float = 0.0, **options: Any) -> VisionEncoder:
    """An encoder around a constant."""
    engine = ConstantEngine(preset, encode_s)
    return VisionEncoder(engine, preset, weights="constant", fingerprint="constant", **options)
