"""How much memory a build takes, and a refusal where it cannot fit: better than the kernel's out-of-memory killer."""

from __future__ import annotations

import torch

from omnivla_vision.engine import machine
from omnivla_vision.engine.base import EngineError
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset

# Peak resident memory of a build by the bytes of the float32 weights, measured with the full pair on torch 2.13 (the
# worst precision of each engine); TensorRT's from its documentation: up to five copies on the host, two on the GPU.
HOST_FACTOR = {"eager": 2.5, "onednn": 2.7, "inductor": 5.0, "onnxruntime": 4.7, "tensorrt": 5.0}
GPU_FACTOR = {"tensorrt": 2.0, "inductor": 2.0, "eager": 1.0}


class NotEnoughMemoryError(EngineError):
    """A build would not fit."""


def weight_bytes(preset: Preset) -> int:
    """Size of a preset's executed weights in float32."""
    with torch.device("meta"):
        return sum(parameter.numel() * 4 for parameter in Backbone(preset).parameters())


def require_memory(engine: str, preset: Preset) -> None:
    """Refuse a build that cannot fit.

    Raises:
        NotEnoughMemoryError: the host or the GPU has less memory available than the build takes.
    """
    weights = weight_bytes(preset)
    _require(engine, preset, "memory", HOST_FACTOR[engine] * weights, machine.memory_bytes())
    if torch.cuda.is_available():
        _require(engine, preset, "GPU memory", GPU_FACTOR.get(engine, 0) * weights, torch.cuda.mem_get_info()[0])


def _require(engine: str, preset: Preset, kind: str, needed: float, available: int) -> None:
    if available and needed > available:
        raise NotEnoughMemoryError(
            f"building {engine} for {preset.name} takes about {needed / 1e9:.1f} GB of {kind}, and "
            f"{available / 1e9:.1f} GB are available; stop other programs, build on a larger machine of the same kind, "
            "or choose engine onednn or eager"
        )
