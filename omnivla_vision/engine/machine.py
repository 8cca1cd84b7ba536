"""Measured facts of the machine that a compiled engine depends on."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

import torch

# What the kernels of oneDNN, torch's inductor and ONNX Runtime choose their instructions by.
CPU_FLAGS = ("avx2", "f16c", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "avx_vnni",
             "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
             "asimd", "asimddp", "bf16", "i8mm", "sve", "sve2")  # fmt: skip


@lru_cache(maxsize=1)
def cpu_flags() -> tuple[str, ...]:
    """Those of CPU_FLAGS that this CPU has, as Linux names them."""
    words = set(_cpuinfo("flags").split()) | set(_cpuinfo("Features").split())
    return tuple(flag for flag in CPU_FLAGS if flag in words)


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16; without it, oneDNN converts or refuses."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(cpu_flags()))


def has_int8() -> bool:
    """Whether the CPU has 8-bit dot products."""
    return bool({"avx512_vnni", "avx_vnni", "amx_int8"} & set(cpu_flags()))


def facts() -> dict[str, str]:
    """What a built file may depend on beside its libraries: part of a bundle's hash."""
    found = {"machine": platform.machine(), "cpu_flags": " ".join(cpu_flags())}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found["gpu"] = properties.name
        found["gpu_architecture"] = f"sm_{properties.major}{properties.minor}"
        found["driver"] = _first_line(Path("/proc/driver/nvidia/version"))
    l4t = _first_line(Path("/etc/nv_tegra_release"))
    if l4t:
        found["l4t"] = l4t
    return found


def description() -> dict[str, str | int | float]:
    """The machine in words and numbers, for people."""
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "memory_gb": round(memory_bytes("MemTotal") / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **facts(),
    }


def memory_bytes(field: str = "MemAvailable") -> int:
    """A line of /proc/meminfo, in bytes; 0 where there is none."""
    path = Path("/proc/meminfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def resident_bytes() -> int:
    """This process's resident memory (VmRSS)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@lru_cache(maxsize=8)
def _cpuinfo(field: str) -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""


def _first_line(path: Path) -> str:
    try:
        return path.read_text().split("\n")[0].strip()
    except OSError:
        return ""
