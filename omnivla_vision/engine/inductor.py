"""torch's inductor ahead of time: a compiled package with the packed weights inside; no compiler at start.

Its functions for that have no public name. Importing them takes seconds, so it happens where they are called.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnivla_vision.engine import machine
from omnivla_vision.engine.base import EngineSpec, EngineUnavailableError, Entry
from omnivla_vision.engine.cuda_graph import CudaGraph
from omnivla_vision.engine.graph import example_inputs, typed_graph
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.process.scratch import scratch

NAME = "inductor"
PRECISIONS = ("float32", "bfloat16", "float16", "mixed")
PACKAGE = "model.pt2"


class InductorEngine:
    """Runs an AOTInductor package; on a GPU, its kernels are recorded once and replayed as a CUDA graph."""

    name = NAME
    notice = ""

    def __init__(self, package: Path, spec: EngineSpec) -> None:
        self.precision = spec.precision
        self.entry: Entry = spec.entry
        self._spec = spec
        from torch import _inductor as inductor

        with _scratch("TMPDIR"):  # where the package is unpacked; what is in use stays until the process ends
            model = inductor.aoti_load_package(str(package))
        self._model: Any = CudaGraph(model, example_inputs(spec, "cuda")) if torch.cuda.is_available() else model

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self._spec.check(inputs)
        with torch.inference_mode():
            return tuple(tensor.cpu() for tensor in self._model(*inputs))


def missing(precision: str) -> str:
    """What this machine lacks to run a package; `build` also needs a C++ compiler."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 8):
        return "torch 2.8 or newer, with AOTInductor"
    if precision == "bfloat16" and not torch.cuda.is_available() and not machine.has_bfloat16():
        return "a CPU with bfloat16 instructions (avx512_bf16 or amx_bf16), or a GPU"
    if precision in ("float16", "mixed") and not torch.cuda.is_available():
        return "a GPU: this is not a format that CPUs are fast in"
    return ""


def versions() -> dict[str, str]:
    """What a package depends on."""
    return {"torch": torch.__version__, "python": f"{sys.version_info.major}.{sys.version_info.minor}"}


def build(backbone: Backbone, spec: EngineSpec, folder: Path) -> None:
    """Export, compile and package.

    Raises:
        EngineUnavailableError: there is no C++ compiler.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise EngineUnavailableError(
            f"engine inductor: building needs a C++ compiler, and found no {compiler!r}; install g++, or bring a "
            "bundle that was built on the same kind of machine"
        )
    from torch import _inductor as inductor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    graph = typed_graph(backbone, spec).to(device)
    with torch.no_grad(), _scratch("TORCHINDUCTOR_CACHE_DIR"):
        program = torch.export.export(graph, example_inputs(spec, device))
        inductor.aoti_compile_and_package(
            program,
            package_path=str(folder / PACKAGE),
            # freezing packs the weights for oneDNN; without dynamic threads, this machine's number is compiled in.
            inductor_configs={"freezing": True, "cpp.dynamic_threads": True},
        )


def load(folder: Path, spec: EngineSpec) -> InductorEngine:
    """Open the package. Its shared library is code: the bundle's checksums and ownership vouch for it."""
    return InductorEngine(folder / PACKAGE, spec)


@contextmanager
def _scratch(variable: str) -> Iterator[None]:
    """A folder that the environment's `variable` names for the while; torch would leave gigabytes behind in /tmp."""
    before = os.environ.get(variable)
    with scratch(Path(tempfile.gettempdir()), "omnivla_vision-scratch-") as folder:
        os.environ[variable] = str(folder)
        try:
            yield
        finally:
            del os.environ[variable]
            if before is not None:
                os.environ[variable] = before
