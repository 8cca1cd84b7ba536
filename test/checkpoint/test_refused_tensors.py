"""Weights that are not the network's are refused with a sentence that helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.checkpoint import errors, load_checkpoint
from test.checkpoint.refusals import FIRST, QKV, SECOND, delete, put, refused
from test.checkpoint.writers import (
    Model,
    State,
    make_model,
    write_native,
    write_oft,
    write_openvla,
)
from test.presets import shallow


@pytest.mark.parametrize("key", [f"{FIRST}reg_token", f"{SECOND}{QKV}", f"{FIRST}blocks.0.ls1.scale_factor"])
def test_a_missing_backbone_key(small_model: Model, tmp_path: Path, key: str) -> None:
    folder = write_openvla(tmp_path, small_model, edit=delete(key))
    expected = key.replace("scale_factor", "gamma")  # the network's name, under the file's prefix
    refused(
        folder, small_model, errors.MissingTensorError, f"{expected}: found no such tensor", "preset small executes"
    )


def test_a_missing_key_of_a_native_checkpoint(small_model: Model, tmp_path: Path) -> None:
    key = f"siglip_featurizer.{QKV}"
    file = write_native(tmp_path, small_model, edit=lambda state: state["vision_backbone"].__delitem__(key))
    refused(file, small_model, errors.MissingTensorError, f"latest-checkpoint.pt: {key}: found no such tensor")


def test_no_vision_at_all(small_model: Model, tmp_path: Path) -> None:
    folder = write_openvla(tmp_path, replace(small_model, encoders=[{}, {}]))
    refused(folder, small_model, errors.MissingTensorError, "vision_backbone.*", "give the one of the whole model")


def test_only_the_second_encoder(small_model: Model, tmp_path: Path) -> None:
    folder = write_openvla(tmp_path, replace(small_model, encoders=[{}, small_model.encoders[1]]))
    refused(folder, small_model, errors.MissingTensorError, f"{FIRST}*", "only the second encoder")


def test_one_encoder_for_a_pair(small_model: Model, tmp_path: Path) -> None:
    folder = write_openvla(tmp_path, replace(small_model, encoders=small_model.encoders[:1]))
    refused(folder, small_model, errors.EncoderCountError, "found 1 vision encoder(s); expected 2, as preset small")


def test_a_shape_mismatch(small_model: Model, tmp_path: Path) -> None:
    folder = write_openvla(tmp_path, small_model, edit=put(f"{FIRST}pos_embed", torch.zeros(1, 1369, 384)))
    refused(
        folder,
        small_model,
        errors.ShapeMismatchError,
        f"{FIRST}pos_embed: found [1, 1369, 384]; expected [1, 256, 384]",
    )


@pytest.mark.parametrize("dtype", [torch.int8, torch.float64, torch.float8_e4m3fn])
def test_a_wrong_dtype(small_model: Model, tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = small_model.encoders[1][QKV].to(dtype)
    folder = write_openvla(tmp_path, small_model, edit=put(f"{SECOND}{QKV}", tensor))
    name = str(dtype).removeprefix("torch.")
    refused(folder, small_model, errors.WrongDtypeError, f"{SECOND}{QKV}: found {name}", "bfloat16, float16 or float32")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("native", [False, True])
def test_weights_that_are_not_finite(small_model: Model, tmp_path: Path, value: float, native: bool) -> None:
    tensor = small_model.encoders[1][QKV].clone()
    tensor[-1, -1] = value

    def damage(state: dict[str, State]) -> None:
        state["vision_backbone"][f"siglip_featurizer.{QKV}"] = tensor

    path = (
        write_native(tmp_path, small_model, edit=damage)
        if native
        else write_openvla(tmp_path, small_model, edit=put(f"{SECOND}{QKV}", tensor))
    )
    refused(path, small_model, errors.NonFiniteWeightsError, QKV, "found NaN or Inf", "finite numbers")


def test_damage_in_what_is_not_executed_is_not_even_read(small_model: Model, tmp_path: Path) -> None:
    key = f"{SECOND}blocks.1.mlp.fc1.weight"
    tensor = torch.full_like(small_model.encoders[1]["blocks.1.mlp.fc1.weight"], float("nan"))
    load_checkpoint(write_openvla(tmp_path, small_model, edit=put(key, tensor)), preset=small_model.preset)


def test_weights_that_the_asked_precision_cannot_hold(small_model: Model, tmp_path: Path) -> None:
    tensor = small_model.encoders[1][QKV].clone()
    tensor[0, 0] = 1e5
    folder = write_openvla(tmp_path, small_model, edit=put(f"{SECOND}{QKV}", tensor))
    refused(folder, small_model, errors.NonFiniteWeightsError, "float16 can hold", dtype=torch.float16)


@pytest.mark.parametrize("native", [False, True])
def test_swapped_encoders(small_model: Model, tmp_path: Path, native: bool) -> None:
    swapped = replace(small_model, encoders=small_model.encoders[::-1])
    path = write_native(tmp_path, swapped) if native else write_openvla(tmp_path, swapped)
    refused(path, small_model, errors.SwappedEncodersError, "cls_token: found it under the second encoder", "swapped")


def test_swapped_dinov2_and_clip(tmp_path: Path) -> None:
    """Both have a class token; the registers tell."""
    model = make_model(shallow("dinoclip-336", depth=2))
    folder = write_openvla(tmp_path, replace(model, encoders=model.encoders[::-1]))
    refused(folder, model, errors.SwappedEncodersError, "fused_featurizer.reg_token")


@pytest.mark.parametrize(
    "key", [f"{FIRST}blocks.7.norm1.weight", f"{SECOND}blocks.0.attn.q_norm.weight", "vision_backbone.adapter.weight"]
)
def test_tensors_of_another_network(small_model: Model, tmp_path: Path, key: str) -> None:
    folder = write_openvla(tmp_path, small_model, edit=put(key, torch.zeros(3)))
    refused(folder, small_model, errors.UnexpectedTensorError, f"{key}: found it")


@pytest.mark.parametrize("key", ["blocks.0.scale.weight", "blocks.3.shift.bias"])
def test_film(small_model: Model, tmp_path: Path, key: str) -> None:
    folder = write_openvla(tmp_path / "a", small_model, edit=put(FIRST + key, torch.zeros(3)))
    refused(folder, small_model, errors.FilmError, FIRST + key, "FiLM", "not supported")
    prefix = "module.vision_backbone.featurizer."
    file, _ = write_oft(tmp_path / "d", small_model, wrapped=True, ddp=True, edit=put(prefix + key, torch.zeros(3)))
    refused(file, small_model, errors.FilmError, key, "condition the vision on the prompt")
