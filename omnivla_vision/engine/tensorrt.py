"""TensorRT through torch-tensorrt, ahead of time: one strongly typed engine per encoder, kept as its serialized bytes.

NOT YET RUN ON A GPU. On a CPU its tests show that torch-tensorrt converts every operator into one engine per encoder.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omnivla_vision.engine.base import EngineFailedError, EngineSpec, Entry
from omnivla_vision.engine.cuda_graph import CudaGraph
from omnivla_vision.engine.graph import Graph, example_inputs, typed_graph
from omnivla_vision.network.backbone import Backbone

NAME = "tensorrt"
PRECISIONS = ("float32", "bfloat16", "float16", "mixed")
# Of the 5 x weights that a build may take, TensorRT's scratch memory; enough for every layer of these networks.
WORKSPACE_BYTES = 1 << 30
# The names under which its bindings are published: of a JetPack, and one per major version of CUDA.
TENSORRT_DISTRIBUTIONS = (
    "tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings"
)  # fmt: skip


class TensorRtError(EngineFailedError):
    """TensorRT refused to read an engine, or to run one."""


class EncoderGraph(nn.Module):
    """One encoder of a graph: its input tensor -> float32 [B, rows, width].

    The encoders become engines one after the other, because a build holds several copies of the weights in memory.
    """

    def __init__(self, graph: Graph, encoder: str) -> None:
        super().__init__()
        preset = graph.backbone.preset
        for index, inputs in enumerate(preset.inputs):
            names = [spec.name for spec in inputs.encoders]
            if encoder in names:
                self.input = index
                self.first_channel = 3 * names.index(encoder)
        self.entry = graph.entry[self.input]
        self.encoder = graph.backbone.encoders[encoder]
        self.dtype = graph.dtype

    def forward(self, tensor: Tensor) -> Tensor:
        stack = self.entry(tensor).to(self.dtype)
        return self.encoder(stack[:, self.first_channel : self.first_channel + 3]).float()


def encoder_graphs(backbone: Backbone, spec: EngineSpec, device: str) -> dict[str, EncoderGraph]:
    """What is converted, by the encoder's name. `backbone` is cast to the engine's precision."""
    graph = typed_graph(backbone, spec, spelled_attention=True).to(device)
    return {encoder.name: EncoderGraph(graph, encoder.name).eval() for encoder in spec.preset.encoders}


def typing_options(precision: str) -> dict[str, bool]:
    """What torch-tensorrt is told about number formats."""
    return {
        # The module's own dtypes are kept; 2.8 must be told so, later versions know nothing else.
        "use_explicit_typing": True,
        # Sums of float16 products in float32. 2.8 does so for attention's products only, later versions for all.
        "use_fp32_acc": precision == "mixed",
    }


class TensorRtEngine:
    """The encoders' engines in one CUDA graph, each writing into its pre-allocated output."""

    name = NAME
    notice = ""

    def __init__(self, folder: Path, spec: EngineSpec) -> None:
        self.precision = spec.precision
        self.entry: Entry = spec.entry
        self._spec = spec
        inputs = example_inputs(spec, "cuda")
        stacks = [index for index, stack in enumerate(spec.preset.inputs) for _ in stack.encoders]
        engines = [_execution(folder / f"{encoder.name}.engine") for encoder in spec.preset.encoders]

        def run(*tensors: Tensor) -> tuple[Tensor, ...]:
            return tuple(engine(tensors[stack]) for engine, stack in zip(engines, stacks, strict=True))

        self._run = CudaGraph(run, inputs)

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self._spec.check(inputs)
        return tuple(tensor.cpu() for tensor in self._run(*inputs))


def missing(precision: str) -> str:
    """What this machine lacks."""
    lacking = [] if torch.cuda.is_available() else ["an NVIDIA GPU that torch can use"]
    packages = ("torch_tensorrt", "tensorrt")
    lacking += [f"the package {name}" for name in packages if importlib.util.find_spec(name) is None]
    return " and ".join(lacking)


def versions() -> dict[str, str]:
    """What an engine's bytes depend on.

    From the packages' metadata: importing them takes seconds, which a start that remembers a refusal should not.
    """
    return {
        "torch": torch.__version__,
        "torch_tensorrt": version("torch-tensorrt"),
        "tensorrt": _tensorrt_version(),
        "cuda": str(torch.version.cuda),
    }


def _tensorrt_version() -> str:
    for distribution in TENSORRT_DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            return version(distribution)
    import tensorrt

    return str(tensorrt.__version__)


def build(backbone: Backbone, spec: EngineSpec, folder: Path) -> None:
    """Convert the encoders one after the other."""
    import torch_tensorrt

    for name, graph in encoder_graphs(backbone, spec, "cpu").items():
        example = example_inputs(spec, "cuda")[graph.input]
        with torch.no_grad():
            program = torch.export.export(graph.to("cuda"), (example,))
        # Full compilation: a part left to torch would be neither in the bytes nor in the measured latency.
        serialized = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
            program,
            arg_inputs=(example,),
            require_full_compilation=True,
            workspace_size=WORKSPACE_BYTES,
            offload_module_to_cpu=True,
            disable_tf32=True,
            **typing_options(spec.precision),
        )
        (folder / f"{name}.engine").write_bytes(serialized)
        graph.to("cpu")
        del program, serialized
        torch.cuda.empty_cache()


def load(folder: Path, spec: EngineSpec) -> TensorRtEngine:
    """Deserialize the engines. They are code for the GPU: the bundle's checksums and ownership vouch for them."""
    return TensorRtEngine(folder, spec)


def _execution(path: Path) -> Callable[[Tensor], Tensor]:
    """An engine with one input and one output, as a function on GPU tensors; its output is overwritten by each call."""
    import tensorrt

    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise TensorRtError(f"TensorRT {tensorrt.__version__} cannot read {path}; see its log; build the bundle anew")
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    source, target = sorted(names, key=lambda name: engine.get_tensor_mode(name) != tensorrt.TensorIOMode.INPUT)
    context: Any = engine.create_execution_context()
    output = torch.empty(tuple(engine.get_tensor_shape(target)), dtype=torch.float32, device="cuda")
    context.set_tensor_address(target, output.data_ptr())

    def run(tensor: Tensor) -> Tensor:
        context.set_tensor_address(source, tensor.data_ptr())
        if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise TensorRtError(f"TensorRT could not run {path.name}; see its log")
        return output

    run.keep = (runtime, engine)  # type: ignore[attr-defined]  # the context does not keep them alive
    return run
