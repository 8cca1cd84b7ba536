"""Which engines are worth trying on a machine, best first: a table of its facts, and nothing else."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch

from omnivla_vision.engine import machine

# The first GPU generation with bfloat16 in its matrix units (Ampere).
BFLOAT16_CAPABILITY = (8, 0)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the choice depends on.

    Attributes:
        gpu: its name; empty where torch can use none.
        capability: the GPU's compute capability, e.g. (8, 7) of a Jetson Orin.
        tensorrt: whether torch-tensorrt and TensorRT are installed.
        cpu_bfloat16: whether the CPU multiplies bfloat16.
    """

    gpu: str = ""
    capability: tuple[int, int] = (0, 0)
    tensorrt: bool = False
    cpu_bfloat16: bool = False


def facts() -> Facts:
    """Of this machine; nothing is imported to find them."""
    gpu = torch.cuda.is_available()
    return Facts(
        gpu=torch.cuda.get_device_name(0) if gpu else "",
        capability=torch.cuda.get_device_capability(0) if gpu else (0, 0),
        tensorrt=_installed("torch_tensorrt") and _installed("tensorrt"),
        cpu_bfloat16=machine.has_bfloat16(),
    )


def choices(facts: Facts) -> list[tuple[str, str, str]]:
    """What to try, best first: engine, precision, and the fact that speaks for it.

    A library that fuses more comes before one that fuses less. Within each, precisions of the same speed come in the
    order of their rounding: float16 keeps 11 bits, where nothing overflows; mixed keeps them with outliers, for some
    more traffic; bfloat16 keeps 8 bits and never overflows.
    """
    found = []
    if facts.gpu:
        bfloat16 = ("bfloat16",) if facts.capability >= BFLOAT16_CAPABILITY else ()
        if facts.tensorrt:
            found += _each("tensorrt", ("float16", "mixed", *bfloat16), f"{facts.gpu} with torch-tensorrt")
        else:
            found.append(("tensorrt", "float16", facts.gpu))  # its refusal says what is missing
        # torch's own kernels, recorded as one CUDA graph. Not inductor, a tenth faster: its package ended the process
        # on the one GPU where it was tried (docs/engines.md). Who names it gets it.
        found += _each("eager", ("float16", "mixed", *bfloat16, "float32"), facts.gpu)
    if facts.cpu_bfloat16:
        found.append(("onednn", "bfloat16", "this CPU has bfloat16 instructions"))
    found.append(("onednn", "float32", "this CPU has no faster format"))
    if not facts.gpu:
        found.append(("eager", "float32", "it runs everywhere"))
    return found


def _each(engine: str, precisions: tuple[str, ...], reason: str) -> list[tuple[str, str, str]]:
    return [(engine, precision, reason) for precision in precisions]


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
