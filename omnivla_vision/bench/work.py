"""How many operations an image takes, and how many this machine can do in a second."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from omnivla_vision.engine import onednn
from omnivla_vision.engine.onednn import stream_dtype
from omnivla_vision.engine.packed import PackedLinear
from omnivla_vision.engine.packed_int8 import Int8Weights, PackedInt8Linear, quantize_rows
from omnivla_vision.network.presets import EncoderSpec, Preset
from omnivla_vision.network.vit import VisionTransformer

# Rows, inputs, outputs: the shapes of the two ViTs' layers, and two large squares.
CPU_SHAPES = ((261, 1024, 4096), (261, 4096, 1024), (256, 1152, 4304), (256, 4304, 1152), (1024,) * 3, (2048,) * 3)
GPU_SHAPES = ((4096,) * 3, (8192,) * 3)
REPETITIONS = 50


def operations(preset: Preset) -> float:
    """Multiplications and additions of the executed network for one image."""
    return sum(_encoder_operations(spec) for spec in preset.encoders)


def _encoder_operations(spec: EncoderSpec) -> float:
    with torch.device("meta"):
        encoder = VisionTransformer(spec)
    patches = spec.grid.tokens
    tokens = patches + spec.prefix_tokens
    weights = sum(layer.weight.numel() for layer in encoder.modules() if isinstance(layer, nn.Linear))
    embedding = patches * encoder.patch_embed.proj.weight.numel()
    attention = len(encoder.blocks) * 2 * tokens**2 * spec.width  # scores, and their product with the values
    return 2 * (tokens * weights + embedding + attention)


def matrix_roof(precision: str) -> float:
    """The best rate of a single matrix product here, in operations per second; 0 where the format is not to be had.

    On the CPU through oneDNN with packed weights, on a GPU through torch.
    """
    if torch.cuda.is_available():
        if precision == "int8":
            return 0.0
        dtype = torch.float16 if precision == "mixed" else getattr(torch, precision)
        return max(_gpu_rate(shape, dtype) for shape in GPU_SHAPES)
    if precision not in onednn.PRECISIONS or onednn.missing(precision):
        return 0.0
    return max(_cpu_rate(shape, precision) for shape in CPU_SHAPES)


def _cpu_rate(shape: tuple[int, int, int], precision: str) -> float:
    rows, inputs, outputs = shape
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=generator)
    dtype = stream_dtype(precision)
    x = torch.randn(rows, inputs, generator=generator).to(dtype)
    bias = torch.zeros(outputs)
    product: Callable[[], Tensor]
    if precision == "int8":
        int8 = PackedInt8Linear(Int8Weights.of(weight, bias), rows)
        values, _ = quantize_rows(x)

        def product() -> Tensor:
            return int8.product(values)
    else:
        linear = PackedLinear(weight.to(dtype), bias.to(dtype), rows)

        def product() -> Tensor:
            return linear(x)

    with torch.inference_mode():
        seconds = _best_seconds(product)
    return 2 * rows * inputs * outputs / seconds


def _gpu_rate(shape: tuple[int, int, int], dtype: torch.dtype) -> float:
    rows, inputs, outputs = shape
    a = torch.randn(rows, inputs, device="cuda").to(dtype)
    b = torch.randn(inputs, outputs, device="cuda").to(dtype)

    def product() -> None:
        torch.mm(a, b)
        torch.cuda.synchronize()

    return 2 * rows * inputs * outputs / _best_seconds(product)


def _best_seconds(call: Callable[[], object]) -> float:
    """The shortest of many: a roof is what the machine can do when nothing disturbs it."""
    call()
    times = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)
