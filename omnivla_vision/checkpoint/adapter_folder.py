"""A LoRA adapter as PEFT saves it: a folder with adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from omnivla_vision.checkpoint.errors import AdapterNotFoundError, LoraError, UnsupportedAdapterError
from omnivla_vision.checkpoint.lora import incomplete
from omnivla_vision.checkpoint.lora_config import ADAPTER_CONFIG, LoraConfig, read_config
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.stored import StoredTensor
from omnivla_vision.checkpoint.unsupported import ADAPTER

# What PEFT's two wrappers put before every name.
_PREFIX = "base_model.model."
_HALF = re.compile(r"\.lora_([AB])\.weight$")


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """What the folder holds, described; names are the whole model's.

    Attributes:
        folder: where it is.
        config: which factors.
        layers: module -> its `A` and `B`.
        saved: parameter -> the tensor that training saved whole, in place of the base's.
    """

    folder: Path
    config: LoraConfig
    layers: dict[str, tuple[StoredTensor, StoredTensor]]
    saved: dict[str, StoredTensor]


def read_adapter(path: str | Path, *, alpha: float | None = None) -> Adapter:
    """Describe an adapter; no tensor is read.

    Args:
        path: the folder.
        alpha: what the user gave beside it; it may only be the configured one.

    Raises:
        AdapterNotFoundError: there is no such folder, or one of the two files is missing.
        UnsupportedAdapterError: it is not plain LoRA, or PEFT did not save the biases that it trained.
        LoraError: half of a layer's adapter is missing, or the names are not PEFT's.
        ConfigError, CorruptFileError, LfsPointerError: a file is broken.
    """
    folder = Path(path).expanduser()
    missing = [name for name in (ADAPTER_CONFIG, ADAPTER) if not (folder / name).is_file()]
    if missing:
        raise AdapterNotFoundError(
            folder,
            found=f"no {' and no '.join(missing)}",
            expected=f"a folder with {ADAPTER_CONFIG} and {ADAPTER}, as PEFT's save_pretrained writes it",
            advice="check the path; pickled weights (adapter_model.bin) have to be saved again as .safetensors",
        )
    config = read_config(folder / ADAPTER_CONFIG, alpha)
    tensors = _without_prefix(folder / ADAPTER)
    halves = {name: tensor for name, tensor in tensors.items() if _HALF.search(name)}
    saved = {name.replace(".base_layer.", "."): t for name, t in tensors.items() if name not in halves}
    if config.bias == "lora_only" and not any(name.endswith(".bias") for name in saved):
        raise UnsupportedAdapterError(
            folder / ADAPTER_CONFIG,
            key="bias",
            found=f"{config.bias}, and no bias in {ADAPTER}",
            expected="the biases that were trained",
            advice="this version of PEFT did not save them; save the adapter with a later one, or merge it in training",
        )
    return Adapter(folder=folder, config=config, layers=_pairs(halves), saved=saved)


def _without_prefix(file: Path) -> dict[str, StoredTensor]:
    tensors = read_header(file)
    for key in tensors:
        if not key.startswith(_PREFIX):
            raise LoraError(
                file,
                key=key,
                found="it",
                expected=f"names under {_PREFIX}, as PEFT gives them",
                advice="save the adapter with PEFT's save_pretrained",
            )
    return {key.removeprefix(_PREFIX): tensor for key, tensor in tensors.items()}


def _pairs(halves: dict[str, StoredTensor]) -> dict[str, tuple[StoredTensor, StoredTensor]]:
    for name, tensor in halves.items():
        other = name[: -len("A.weight")] + ("B.weight" if name.endswith("A.weight") else "A.weight")
        if other not in halves:
            raise incomplete(tensor.file, tensor.key, _PREFIX + other)
    modules = [name.removesuffix(".lora_A.weight") for name in halves if name.endswith(".lora_A.weight")]
    return {module: (halves[f"{module}.lora_A.weight"], halves[f"{module}.lora_B.weight"]) for module in modules}
