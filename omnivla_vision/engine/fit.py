"""How much memory and disk a build takes, and a refusal where it cannot fit.

Better than the kernel's out-of-memory killer, and than minutes of work for a full disk.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from omnivla_vision.engine import machine
from omnivla_vision.engine.base import EngineError, EngineSpec
from omnivla_vision.engine.store_folder import StoreError
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset

# Peak resident memory of a build by the bytes of the float32 weights, measured with the full pair on torch 2.13 (the
# worst precision of each engine); TensorRT's from its documentation: up to five copies on the host, two on the GPU.
HOST_FACTOR = {"eager": 2.5, "onednn": 2.7, "inductor": 5.0, "onnxruntime": 4.7, "tensorrt": 5.0}
GPU_FACTOR = {"tensorrt": 2.0, "inductor": 2.0, "eager": 1.0}
# Bytes per weight in a bundle, at the least: what is stored beside them (reference tokens, code) comes on top.
STORED_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "mixed": 2, "int8": 1}


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


def require_disk(spec: EngineSpec, folder: Path) -> None:
    """Refuse a bundle that cannot fit.

    Raises:
        StoreError: the disk of `folder` has less space than the weights alone take in that precision.
    """
    needed = weight_bytes(spec.preset) // 4 * STORED_BYTES[spec.precision]
    disk = shutil.disk_usage(folder)
    if disk.total and needed > disk.free:  # some network file systems say nothing
        raise StoreError(folder.parent, f"{disk.free / 1e6:.1f} MB free, and weights of {needed / 1e6:.1f} MB to keep")


def _require(engine: str, preset: Preset, kind: str, needed: float, available: int) -> None:
    if available and needed > available:
        raise NotEnoughMemoryError(
            f"building {engine} for {preset.name} takes about {needed / 1e9:.1f} GB of {kind}, and "
            f"{available / 1e9:.1f} GB are available; stop other programs, build on a larger machine of the same kind, "
            "or choose engine onednn or eager"
        )
