"""Formats A and B, written with their real key names, give the same tensors under the same fingerprint."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from omnivla_vision.checkpoint import Checkpoint, load_checkpoint
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.spec import Preset
from test.checkpoint.comparison import NATIVE_CONFIG, assert_equal, executed
from test.checkpoint.writers import (
    Model,
    make_model,
    openvla_config,
    openvla_preprocessor,
    write_native,
    write_openvla,
)
from test.presets import shallow


@pytest.fixture(scope="module")
def format_a(openvla_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_openvla(
        tmp_path_factory.mktemp("a"), openvla_model, config=openvla_config(), preprocessor=openvla_preprocessor()
    )


@pytest.fixture(scope="module")
def checkpoint_a(openvla_model: Model, format_a: Path) -> Checkpoint:
    return load_checkpoint(format_a, preset=openvla_model.preset, projector=True)


def test_a_gives_the_written_tensors_to_the_bit(openvla_model: Model, checkpoint_a: Checkpoint) -> None:
    assert checkpoint_a.format.startswith("A")
    assert checkpoint_a.dtype == torch.bfloat16
    assert_equal(checkpoint_a.backbone_state, executed(openvla_model))
    assert_equal(checkpoint_a.projector_state, openvla_model.projector)


def test_nothing_that_is_not_executed_is_loaded(openvla_model: Model, checkpoint_a: Checkpoint) -> None:
    names = list(checkpoint_a.backbone_state)
    assert not [name for name in names if re.search(r"blocks\.1\.|attn_pool|\.norm\.|language", name)]
    assert any(".blocks.0." in name for name in names)
    for part, encoder in zip(checkpoint_a.parts, openvla_model.encoders, strict=False):
        assert part.stored_parameters == sum(tensor.numel() for tensor in encoder.values())
        assert 0 < part.executed_parameters < part.stored_parameters
    loaded = {**checkpoint_a.backbone_state, **(checkpoint_a.projector_state or {})}
    assert sum(part.executed_bytes for part in checkpoint_a.parts) == sum(tensor.nbytes for tensor in loaded.values())


def test_b_equals_a_to_the_bit(openvla_model: Model, checkpoint_a: Checkpoint, tmp_path: Path) -> None:
    file = write_native(tmp_path, openvla_model, config=NATIVE_CONFIG)
    for path in (tmp_path, file):
        b = load_checkpoint(path, preset=openvla_model.preset, projector=True)
        assert b.format.startswith("B")
        assert_equal(b.backbone_state, checkpoint_a.backbone_state)
        assert_equal(b.projector_state, checkpoint_a.projector_state)
        assert b.fingerprint == checkpoint_a.fingerprint
        assert b.sources["preset"] == "the request, confirmed by config.json"


def test_ddps_prefix_is_stripped(openvla_model: Model, checkpoint_a: Checkpoint, tmp_path: Path) -> None:
    write_native(tmp_path, openvla_model, ddp=True)
    b = load_checkpoint(tmp_path, preset=openvla_model.preset, projector=True)
    assert b.fingerprint == checkpoint_a.fingerprint


def test_the_fingerprint_depends_on_values_and_on_nothing_else(
    openvla_model: Model, checkpoint_a: Checkpoint, tmp_path: Path
) -> None:
    preset = openvla_model.preset
    two_shards = write_openvla(tmp_path / "two", openvla_model, shards=2)
    one_file = write_openvla(tmp_path / "one", openvla_model, shards=1)
    (one_file / "model.safetensors.index.json").unlink()
    (one_file / "model-00001-of-00001.safetensors").rename(one_file / "model.safetensors")
    for folder in (two_shards, one_file, one_file / "model.safetensors"):
        again = load_checkpoint(folder, preset=preset, dtype=torch.float32, projector=True)
        assert again.fingerprint == checkpoint_a.fingerprint
        assert {tensor.dtype for tensor in again.backbone_state.values()} == {torch.float32}
    assert re.fullmatch("[0-9a-f]{64}", checkpoint_a.fingerprint)

    def change(state: dict[str, Tensor]) -> None:
        key = "vision_backbone.featurizer.blocks.0.attn.qkv.bias"
        state[key] = state[key].clone()
        state[key][7] += 0.5

    changed = write_openvla(tmp_path / "changed", openvla_model, edit=change)
    assert load_checkpoint(changed, preset=preset, projector=True).fingerprint != checkpoint_a.fingerprint


def test_the_fingerprint_is_the_documented_one(openvla_model: Model, checkpoint_a: Checkpoint) -> None:
    """Whoever has the tensors can compute it: docs/checkpoints.md says how."""
    tensors = executed(openvla_model) | {f"projector.{key}": value for key, value in openvla_model.projector.items()}
    lines = [
        f"{name} bfloat16 {list(tensor.shape)} {hashlib.sha256(tensor.view(torch.uint8).numpy()).hexdigest()}\n"
        for name, tensor in sorted(tensors.items())
    ]
    assert checkpoint_a.fingerprint == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_without_the_projector_the_fingerprint_is_the_backbones(
    openvla_model: Model, checkpoint_a: Checkpoint, format_a: Path, tmp_path: Path
) -> None:
    fused = load_checkpoint(format_a, preset=openvla_model.preset)
    assert fused.projector_state is None
    assert fused.fingerprint == fused.backbone_fingerprint == checkpoint_a.backbone_fingerprint
    assert fused.fingerprint != checkpoint_a.fingerprint
    bare = write_openvla(tmp_path, replace(openvla_model, projector={}))
    assert load_checkpoint(bare, preset=openvla_model.preset).fingerprint == fused.fingerprint


def test_shards_without_vision_are_never_opened(openvla_model: Model, format_a: Path, tmp_path: Path) -> None:
    for file in format_a.iterdir():
        (tmp_path / file.name).symlink_to(file)  # as in the hub's cache
    language = sorted(tmp_path.glob("model-*.safetensors"))[-1]
    language.unlink()
    load_checkpoint(tmp_path, preset=openvla_model.preset)
    language.write_bytes(b"no safetensors at all")
    load_checkpoint(tmp_path, preset=openvla_model.preset)


def test_the_network_is_made_of_the_loaded_tensors(checkpoint_a: Checkpoint) -> None:
    backbone, projector = checkpoint_a.backbone(), checkpoint_a.projector()
    assert projector is not None
    assert (projector.width, projector.out_width) == (2176, 64)
    for name, parameter in backbone.named_parameters():
        assert parameter.data_ptr() == checkpoint_a.backbone_state[name].data_ptr()
        assert not parameter.requires_grad


def test_the_presets_of_unmarked_folders_are_told_by_their_shapes(openvla_model: Model, tmp_path: Path) -> None:
    whole = make_model(get_preset("dinov2-s-reg4-224"))
    folder = write_openvla(tmp_path, whole)
    checkpoint = load_checkpoint(folder)
    assert checkpoint.preset.name == "dinov2-s-reg4-224"
    assert checkpoint.sources["preset"] == "the tensors' shapes"


def test_a_single_encoder_has_a_projector_of_two_layers(tmp_path: Path) -> None:
    model = make_model(shallow("dinov2-s-reg4-224", depth=2))
    a = load_checkpoint(write_openvla(tmp_path / "a", model), preset=model.preset, projector=True)
    b = load_checkpoint(write_native(tmp_path / "b", model), preset=model.preset, projector=True)
    assert list(a.projector_state or {}) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert a.fingerprint == b.fingerprint


def test_the_same_values_in_other_words_are_another_fingerprint(tmp_path: Path) -> None:
    """Shape and name count, not only bytes."""
    preset = Preset(name="x", encoders=shallow("dinov2-s-224", depth=2).encoders)
    model = make_model(preset)
    before = load_checkpoint(write_openvla(tmp_path / "a", model), preset=preset).fingerprint
    encoder = model.encoders[0]
    one, other = "blocks.0.norm1.weight", "blocks.0.norm2.weight"
    encoder[one], encoder[other] = encoder[other], encoder[one]
    assert load_checkpoint(write_openvla(tmp_path / "b", model), preset=preset).fingerprint != before
