"""LoRA adapters that cannot be merged, or not exactly, are refused with a sentence that helps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file

from omnivla_vision.checkpoint import errors, load_checkpoint
from omnivla_vision.weights import open_weights
from test.checkpoint.adapters import write_adapter
from test.checkpoint.refusals import delete, put, refused
from test.checkpoint.test_as_people_have_them import POINTER
from test.checkpoint.tiny import TINY
from test.checkpoint.writers import Model, make_model, write_oft, write_openvla

QKV = "vision_backbone.featurizer.blocks.0.attn.qkv"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model(TINY, out_width=8)


@pytest.fixture
def base(model: Model, tmp_path: Path) -> Path:
    return write_openvla(tmp_path / "base", model)


def refused_with(base: Path, model: Model, adapter: Path, error: type, *parts: str, **options: Any) -> None:
    refused(base, model, error, *parts, lora_adapter=adapter, projector=True, **options)


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG])
def test_no_adapter_there(base: Path, model: Model, tmp_path: Path, name: str) -> None:
    nowhere = tmp_path / "nowhere"
    refused_with(base, model, nowhere, errors.AdapterNotFoundError, f"{nowhere}: found no {CONFIG} and no {WEIGHTS}")
    adapter, _ = write_adapter(tmp_path / "adapter", model)
    (adapter / name).unlink()
    refused_with(base, model, adapter, errors.AdapterNotFoundError, f"found no {name};", "save_pretrained", ".bin")


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda folder: (folder / WEIGHTS).write_text(POINTER), errors.LfsPointerError),
        (lambda folder: (folder / CONFIG).write_text(POINTER), errors.LfsPointerError),
        (lambda folder: (folder / CONFIG).write_text("{"), errors.ConfigError),
        (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1]), errors.CorruptFileError),
    ],
)
def test_broken_files(
    base: Path, model: Model, tmp_path: Path, damage: Callable[[Path], object], error: type[Exception]
) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model)
    damage(adapter)
    refused_with(base, model, adapter, error, str(adapter))


@pytest.mark.parametrize(("half", "other"), [("A", "B"), ("B", "A")])
def test_half_a_layer(base: Path, model: Model, tmp_path: Path, half: str, other: str) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model, edit=delete(f"{QKV}.lora_{half}.weight"))
    refused_with(base, model, adapter, errors.LoraError, f"lora_{other}.weight: found it alone", f"lora_{half}.weight")


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        (f"{QKV}.lora_A.weight", (4, 7), "A [4, 7] and B [24, 4] for a weight [24, 8]"),
        (f"{QKV}.lora_B.weight", (24, 3), "A [4, 8] and B [24, 3] for a weight [24, 8]"),
        (
            "vision_backbone.featurizer.patch_embed.proj.lora_B.weight",
            (8, 4, 2, 2),
            "A [4, 3, 2, 2] and B [8, 4, 2, 2] for a weight [8, 3, 2, 2]",
        ),
    ],
)
def test_shapes_of_another_model(
    base: Path, model: Model, tmp_path: Path, key: str, shape: tuple[int, ...], message: str
) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model, edit=put(key, torch.zeros(shape)))
    refused_with(base, model, adapter, errors.LoraError, message, "of different models")


@pytest.mark.parametrize(
    "name", ["vision_backbone.featurizer.blocks.9.attn.qkv", "vision_backbone.resampler.fc1", "projector.fc9"]
)
def test_layers_that_the_base_does_not_have(base: Path, model: Model, tmp_path: Path, name: str) -> None:
    def add(state: dict[str, torch.Tensor]) -> None:
        state |= {f"{name}.lora_A.weight": torch.zeros(4, 8), f"{name}.lora_B.weight": torch.zeros(8, 4)}

    config = {"base_model_name_or_path": "openvla/openvla-7b"}
    adapter, _ = write_adapter(tmp_path / "adapter", model, config=config, edit=add)
    said = (f"{name}.lora_A.weight: found it, and nothing of that name", f"({CONFIG} names openvla/openvla-7b)")
    refused_with(base, model, adapter, errors.LoraError, *said)


def test_an_adapter_of_two_encoders_over_one(model: Model, tmp_path: Path) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model)
    alone = replace(model, preset=replace(TINY, encoders=TINY.encoders[:1]), encoders=model.encoders[:1], projector={})
    base = write_openvla(tmp_path / "one", alone)
    refused(base, alone, errors.LoraError, "fused_featurizer", "nothing of that name", lora_adapter=adapter)


def test_names_that_are_not_pefts(base: Path, model: Model, tmp_path: Path) -> None:
    adapter, state = write_adapter(tmp_path / "adapter", model)
    save_file(state, adapter / WEIGHTS)
    refused_with(base, model, adapter, errors.LoraError, "expected names under base_model.model.")
    # As in a state dict: with the adapter's name.
    named = {f"base_model.model.{name.replace('.weight', '.default.weight')}": t for name, t in state.items()}
    save_file(named, adapter / WEIGHTS)
    refused_with(base, model, adapter, errors.LoraError, "lora_A.default.weight: found it, and nothing of that name")


def test_values_and_number_formats(base: Path, model: Model, tmp_path: Path) -> None:
    key = f"{QKV}.lora_A.weight"
    behind = key.replace("blocks.0", "blocks.1")
    nan = torch.full((4, 8), torch.nan)
    adapter, _ = write_adapter(tmp_path / "adapter", model, edit=put(key, nan))
    refused_with(base, model, adapter, errors.NonFiniteWeightsError, WEIGHTS, key)
    write_adapter(adapter, model, edit=put(key, torch.full((4, 8), 3e38)), config={"lora_alpha": 1e6})
    refused_with(base, model, adapter, errors.NonFiniteWeightsError, WEIGHTS, key, "after merging LoRA")
    write_adapter(adapter, model, edit=put(key, torch.zeros(4, 8, dtype=torch.int8)))
    refused_with(base, model, adapter, errors.WrongDtypeError, WEIGHTS, key, "found int8")
    write_adapter(adapter, model, edit=put(behind, nan))
    load_checkpoint(base, preset=model.preset, lora_adapter=adapter)  # it is not executed


def test_a_tensor_saved_whole_of_another_shape(base: Path, model: Model, tmp_path: Path) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model, edit=put("projector.fc2.bias", torch.zeros(7)))
    refused_with(base, model, adapter, errors.ShapeMismatchError, WEIGHTS, "projector.fc2.bias: found [7]")


@pytest.mark.parametrize(
    "name",
    [
        "vision_backbone.vision_backbone.featurizer.blocks.0.block.attn.qkv.lora_A.weight",
        "vision_backbone.featurizer.blocks.0.scale.weight",
    ],
)
def test_film(base: Path, model: Model, tmp_path: Path, name: str) -> None:
    """Its wrapper puts a name before every block's layers, also where its own layers are not in the file."""

    def add(state: dict[str, torch.Tensor]) -> None:
        state |= {name: torch.zeros(4, 8), name.replace("lora_A", "lora_B"): torch.zeros(24, 4)}

    adapter, _ = write_adapter(tmp_path / "adapter", model, layers=r"^projector\.", edit=add)
    refused_with(base, model, adapter, errors.FilmError, name, "FiLM is not supported")


def test_weights_that_are_adapted_already(model: Model, tmp_path: Path) -> None:
    write_oft(tmp_path, model, adapter={"r": 4, "lora_alpha": 16})
    adapter, _ = write_adapter(tmp_path / "adapter", model)
    said = ("in vision_backbone--1000_checkpoint.pt, which is adapted there already", "give no adapter")
    refused(tmp_path, model, errors.LoraError, *said, lora_adapter=adapter)


def test_random_weights(model: Model, tmp_path: Path) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model)
    for nothing in ("", "random"):
        with pytest.raises(errors.AdapterWithoutBaseError, match="found a LoRA adapter for random weights; expected"):
            open_weights(nothing, lora_adapter=adapter)


def test_a_file_that_changes_is_noticed(base: Path, model: Model, tmp_path: Path) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model)
    loaded = load_checkpoint(base, preset=model.preset, lora_adapter=adapter)
    save_file(load_file(adapter / WEIGHTS), adapter / WEIGHTS, metadata={"a": json.dumps("b")})
    with pytest.raises(errors.ChangedFileError, match=WEIGHTS):
        loaded.own_backbone(torch.float32)
