"""ONNX Runtime: float32 and dynamic int8 on the CPU, its CUDA and TensorRT providers where they are installed."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import torch
from torch import Tensor

from omnivla_vision.engine import machine
from omnivla_vision.engine.base import EngineSpec, EngineUnavailableError, Entry
from omnivla_vision.engine.graph import Graph, example_inputs
from omnivla_vision.network.backbone import Backbone

NAME = "onnxruntime"
PRECISIONS = ("float32", "float16", "int8")
MODEL = "model.onnx"
# The first with a GELU operator: before, it is five.
OPSET = 20
GPU_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider")


class OnnxRuntimeEngine:
    """Runs an ONNX model."""

    name = NAME
    notice = ""

    def __init__(self, model: Path, spec: EngineSpec) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that spin while they wait take the cores from the camera's driver, and from everything else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Weights are packed once at load; without this they would stay in memory a second time, in the arena.
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        available = onnxruntime.get_available_providers()
        providers = [] if spec.precision == "int8" else [name for name in GPU_PROVIDERS if name in available]
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=[*providers, "CPUExecutionProvider"]
        )
        self._names = [tensor.name for tensor in self._session.get_inputs()]
        self.precision = spec.precision
        self.entry: Entry = spec.entry
        self._spec = spec

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self._spec.check(inputs)
        feeds = {name: tensor.numpy() for name, tensor in zip(self._names, inputs, strict=True)}
        return tuple(map(torch.from_numpy, self._session.run(None, feeds)))


def missing(precision: str) -> str:
    """What this machine lacks to run a model; `build` also needs onnx and onnxscript."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "the package onnxruntime (pip install 'omnivla-vision[onnxruntime]')"
    import onnxruntime

    if precision == "float16" and not set(GPU_PROVIDERS) & set(onnxruntime.get_available_providers()):
        return "an onnxruntime with its CUDA or TensorRT provider (package onnxruntime-gpu)"
    if precision == "int8" and not machine.has_int8():
        return "a CPU with 8-bit dot products (avx512_vnni, avx_vnni or amx_int8)"
    return ""


def versions() -> dict[str, str]:
    """What the numbers depend on; torch writes the model."""
    import onnxruntime

    return {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}


def build(backbone: Backbone, spec: EngineSpec, folder: Path) -> None:
    """Export the graph, and quantize it for int8: weights per output channel, activations per call.

    Raises:
        EngineUnavailableError: onnx or onnxscript is not installed.
    """
    lacking = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if lacking:
        raise EngineUnavailableError(
            f"engine onnxruntime: building needs the package {' and '.join(lacking)}; "
            "pip install 'omnivla-vision[onnxruntime]', or bring a bundle that was built elsewhere"
        )
    dtype = torch.float16 if spec.precision == "float16" else torch.float32
    graph = Graph(backbone, spec, dtype).eval()
    graph.backbone.to(dtype)
    exported = folder / (MODEL if spec.precision != "int8" else "float32.onnx")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's notes on its own future
        torch.onnx.export(
            graph,
            example_inputs(spec),
            str(exported),
            opset_version=OPSET,
            dynamo=True,
            external_data=True,
            verbose=False,
        )
    if spec.precision == "int8":
        _quantize(exported, folder / MODEL)


def load(folder: Path, spec: EngineSpec) -> OnnxRuntimeEngine:
    """Open the model."""
    return OnnxRuntimeEngine(folder / MODEL, spec)


def _quantize(exported: Path, quantized: Path) -> None:
    """Write the int8 model beside the float32 one, and remove that."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        exported,
        quantized,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )
    for leftover in exported.parent.glob(f"{exported.name}*"):
        leftover.unlink()
