"""What this machine has, which engines can run on it and why not, and combinations that are known to break."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from omnivla_vision.engine import machine
from omnivla_vision.engine.refusals import Refusals
from omnivla_vision.engine.select import candidates
from omnivla_vision.engine.start import ENGINES, get_backend
from omnivla_vision.engine.store import BundleStore
from omnivla_vision.engine.store_folder import StoreError, default_store
from omnivla_vision.transport import fastdds
from omnivla_vision.transport.examine import examine as examine_transport
from omnivla_vision.transport.kernel import setting

PACKAGES = ("numpy", "torch", "opencv-python-headless", "safetensors", "onnxruntime", "onnxruntime-gpu", "onnx",
            "onnxscript", "torch-tensorrt", "tensorrt", "timm", "rclpy", "cv_bridge")  # fmt: skip
TORCH_TESTED = ((2, 8), (2, 13))
PYTHON_TESTED = ((3, 10), (3, 13))
# Tokens of two images from the default network, in 16 bits.
TOKEN_MESSAGE_BYTES = 512 * 2176 * 2
# From the first to before the last; NVIDIA/TensorRT issue 4419 has 10.3 wrong and 10.5 right, issue 4742 10.4 wrong.
TENSORRT_WRONG_ON_VITS = ((10, 0), (10, 5))
# Holds one of them; Linux's default is 208 KiB.
RECEIVE_BUFFER = 4 << 20
# Of ROS 2 Humble, Jazzy and Kilted: REP 2000.
DEFAULT_RMW = "rmw_fastrtps_cpp"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report; `advice` is empty unless something should be done, `broken` if nothing works without."""

    section: str
    name: str
    value: str
    advice: str = ""
    broken: bool = False


def examine(bundle_dir: Path | None = None) -> list[Finding]:
    """Everything, in the order in which it is read.

    Args:
        bundle_dir: where bundles are kept; the user's cache if None.
    """
    return [*_machine(), *_versions(), *_combinations(_installed()), *_middleware(), *_engines(), *_refused(bundle_dir)]


def _machine() -> list[Finding]:
    described = machine.description()
    memory = f"{machine.memory_bytes('MemTotal') / 1e9:.1f} GB, {machine.memory_bytes() / 1e9:.1f} GB available"
    found = [
        Finding(section="machine", name="cpu", value=f"{described['cpu']}, {described['cores']} cores"),
        Finding(section="machine", name="instructions", value=" ".join(machine.cpu_flags()) or "none that matter"),
        Finding(section="machine", name="memory", value=memory),
    ]
    facts = machine.facts()
    gpu = " ".join(facts[name] for name in ("gpu", "gpu_architecture", "driver") if name in facts)
    found.append(Finding(section="machine", name="gpu", value=gpu or "none that torch can use"))
    if "l4t" in facts:
        found.append(Finding(section="machine", name="L4T", value=facts["l4t"]))
    return found


def _versions() -> list[Finding]:
    found = [Finding(section="versions", name="python", value=platform.python_version())]
    return found + [
        Finding(section="versions", name=name, value=version or "not installed")
        for name, version in _installed().items()
    ]


def _installed() -> dict[str, str]:
    """Version by package; empty if it is not there. Not every package of ROS has metadata."""
    return {**{package: _version(package) for package in PACKAGES}, "torch": torch.__version__}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "present" if importlib.util.find_spec(package.replace("-", "_")) else ""


def _combinations(versions: dict[str, str]) -> list[Finding]:
    """Pairs that fail at run time, not at installation."""
    found = []
    numpy, torch_version = _number(versions["numpy"]), _number(versions["torch"])
    if numpy >= (2, 0) and versions["cv_bridge"] and os.environ.get("ROS_DISTRO") in ("humble", "iron"):
        found.append(_problem(
            "NumPy 2 with cv_bridge", "cv_bridge of this ROS is compiled for NumPy 1 and crashes on import",
            "pip install 'numpy<2'; this package does not use cv_bridge, other nodes of the process may",
        ))  # fmt: skip
    if numpy >= (2, 0) and torch_version < (2, 3):
        found.append(_problem("NumPy 2 with torch before 2.3", "torch cannot share arrays", "pip install 'numpy<2'"))
    if not TORCH_TESTED[0] <= torch_version <= TORCH_TESTED[1]:
        tested = "-".join(".".join(map(str, bound)) for bound in TORCH_TESTED)
        found.append(_problem(f"torch {versions['torch']}", "not tested", f"install torch {tested}", broken=False))
    if not PYTHON_TESTED[0] <= _number(platform.python_version()) <= PYTHON_TESTED[1]:
        found.append(_problem("Python", "not tested", "use Python 3.10 to 3.13", broken=False))
    trt = versions["torch-tensorrt"]
    if trt and trt != "present" and _number(trt) != torch_version:
        found.append(_problem(
            f"torch-tensorrt {trt} with torch {versions['torch']}", "each release of it works with one torch",
            "install the two in the same version",
        ))  # fmt: skip
    tensorrt = versions["tensorrt"]
    if tensorrt and tensorrt != "present":
        first, mended = TENSORRT_WRONG_ON_VITS
        if first <= _number(tensorrt) < mended:
            found.append(_problem(
                f"TensorRT {tensorrt}", "reported wrong on ViTs (NVIDIA/TensorRT issue 4419)",
                "a container or JetPack with TensorRT 10.5 or newer; where it stays, the gate decides",
                broken=False,
            ))  # fmt: skip
    if versions["onnxruntime"] and versions["onnxruntime-gpu"]:
        found.append(_problem(
            "onnxruntime beside onnxruntime-gpu", "they overwrite each other's files", "uninstall one of them"
        ))  # fmt: skip
    return found or [Finding(section="combinations", name="known to break", value="none found")]


def _middleware() -> list[Finding]:
    """What the middleware in force was told, and whether a token message of the default network arrives with it."""
    chosen = os.environ.get("RMW_IMPLEMENTATION", "")
    rclpy = fastdds.rclpy_version()
    transport = examine_transport(TOKEN_MESSAGE_BYTES, rmw=chosen or DEFAULT_RMW, environment=os.environ)
    rows = {
        "ROS": f"rclpy {rclpy}" if rclpy else f"rclpy is not installed here; ROS_DISTRO is {_distro() or 'not set'}",
        "RMW_IMPLEMENTATION": chosen or f"not set: the distribution's, {DEFAULT_RMW}",
        **transport.values,
    }
    found = [Finding(section="middleware", name=name, value=str(value)) for name, value in rows.items()]
    size = setting("net.core.rmem_max")
    if "fastrtps" in transport.rmw and size is not None:  # between machines, where it does not use shared memory
        advice = f"sudo sysctl -w net.core.rmem_max={RECEIVE_BUFFER}" if size < RECEIVE_BUFFER else ""
        found.append(Finding(section="middleware", name="net.core.rmem_max", value=str(size), advice=advice))
    advice = transport.advice
    if not rclpy and not _distro() and fastdds.VARIABLE_OF_FASTDDS_3 in advice:
        advice += f"; before ROS 2 Kilted the variable is {fastdds.VARIABLE_OF_FASTDDS_2}"
    return [*found, Finding(section="middleware", name="transport", value=transport.found, advice=advice)]


def _distro() -> str:
    return os.environ.get("ROS_DISTRO", "")


def _engines() -> list[Finding]:
    found = []
    for name in ENGINES:
        backend = get_backend(name)
        for precision in backend.PRECISIONS:
            lacking = backend.missing(precision)
            value = f"no: needs {lacking}" if lacking else "runs here"
            found.append(Finding(section="engines", name=f"{name} {precision}", value=value))
    name, precision, reason = next(choice for choice in candidates() if not get_backend(choice[0]).missing(choice[1]))
    found.append(Finding(section="engines", name="auto", value=f"{name} {precision}: {reason}"))
    return found


def _refused(bundle_dir: Path | None) -> list[Finding]:
    """What the store remembers of engines that failed."""
    try:
        store = BundleStore(bundle_dir or default_store(), read_only=True)
    except StoreError as error:
        return [Finding(section="refused engines", name="store", value=str(error))]
    return [
        Finding(
            section="refused engines",
            name=f"{refusal.key['preset_name']} {refusal.key['engine']} {refusal.key['precision']}",
            value=f"{refusal.date:%Y-%m-%d}: {refusal.summary}",
            advice=_retry(refusal.key, bundle_dir),
        )
        for refusal in Refusals(store).all()
    ]


def _retry(key: dict[str, Any], bundle_dir: Path | None) -> str:
    """The command that tries again; which checkpoint it was, only its user knows."""
    words = ["omnivla-vision build CHECKPOINT --retry"]
    words += [f"--{name} {key[name]}" for name in ("engine", "precision")]
    words += [f"--{name} {key[name]}" for name, usual in (("images", 1), ("entry", "uint8")) if key[name] != usual]
    return " ".join([*words, *([f"--bundle-dir {bundle_dir}"] if bundle_dir else [])])


def _problem(name: str, value: str, advice: str, *, broken: bool = True) -> Finding:
    return Finding(section="combinations", name=name, value=value, advice=advice, broken=broken)


def _number(version: str) -> tuple[int, int]:
    """Major and minor."""
    parts = version.split("+")[0].split(".")
    return int(parts[0]), int(parts[1])
