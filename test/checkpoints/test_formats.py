"""The four formats, written with their real key names, give the same tensors under the same fingerprint."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from omnivla_vision.checkpoint import Checkpoint, load_checkpoint
from omnivla_vision.checkpoint.errors import CheckpointError
from omnivla_vision.presets import get_preset
from omnivla_vision.spec import Preset
from test.checkpoints.writers import (
    Model,
    make_model,
    openvla_config,
    openvla_preprocessor,
    shallow,
    write_native,
    write_oft,
    write_openvla,
    write_timm,
)

NATIVE_CONFIG = {"model": {"vision_backbone_id": "dinosiglip-vit-so-224px", "image_resize_strategy": "resize-naive"}}


def assert_equal(one: dict[str, Tensor] | None, other: dict[str, Tensor] | None) -> None:
    assert one is not None
    assert other is not None
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert torch.equal(one[name], other[name]), name


def executed(model: Model) -> dict[str, Tensor]:
    """The model's own tensors under the backbone's names: what every format must give back, to the bit."""
    from omnivla_vision.backbone import backbone_shell

    encoders = dict(zip((spec.name for spec in model.preset.encoders), model.encoders, strict=True))
    names = backbone_shell(model.preset).state_dict()
    return {name: encoders[name.split(".")[1]][name.split(".", 2)[2]] for name in names}


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


@pytest.mark.parametrize("wrapped", [False, True])
def test_d_merges_lora(small_model: Model, tmp_path: Path, wrapped: bool) -> None:
    _, adapters = write_oft(tmp_path, small_model, adapter={"r": 4, "lora_alpha": 16}, wrapped=wrapped, ddp=wrapped)
    checkpoint = load_checkpoint(tmp_path, preset=small_model.preset, dtype=torch.float32)
    assert checkpoint.format.startswith("D")
    for name, original in executed(small_model).items():
        spec, key = name.split(".")[1], name.split(".", 2)[2]
        halves = adapters[["dinov2", "siglip"].index(spec)]
        expected = original.float()
        if f"{key}.A" in halves:
            update = 16 / 4 * halves[f"{key}.B"] @ halves[f"{key}.A"]
            assert update.abs().max() > 0.01
            expected = expected + update
        torch.testing.assert_close(checkpoint.backbone_state[name], expected, rtol=1e-6, atol=1e-6)


def test_d_in_the_bases_precision_equals_the_merged_folder(small_model: Model, tmp_path: Path) -> None:
    write_oft(tmp_path / "d", small_model, adapter={"r": 4, "lora_alpha": 16})
    d = load_checkpoint(tmp_path / "d", preset=small_model.preset)
    assert d.dtype == torch.bfloat16
    exact = load_checkpoint(tmp_path / "d", preset=small_model.preset, dtype=torch.float32)
    merged = {name: tensor.bfloat16() for name, tensor in exact.backbone_state.items()}
    assert_equal(d.backbone_state, merged)  # rounded once
    encoders = [
        {name: merged.get(f"encoders.{spec.name}.{name}", tensor) for name, tensor in encoder.items()}
        for spec, encoder in zip(small_model.preset.encoders, small_model.encoders, strict=True)
    ]
    folder = write_openvla(tmp_path / "a", replace(small_model, encoders=encoders))
    assert load_checkpoint(folder, preset=small_model.preset).fingerprint == d.fingerprint


@pytest.mark.parametrize("adapter", [None, {"r": 4, "lora_alpha": 8, "use_rslora": True}])
def test_d_takes_the_scale_from_the_argument_or_the_file(
    small_model: Model, tmp_path: Path, adapter: dict[str, object] | None
) -> None:
    _, adapters = write_oft(tmp_path, small_model, adapter=adapter)
    alpha = None if adapter else 32.0
    loaded = load_checkpoint(tmp_path, preset=small_model.preset, dtype=torch.float32, lora_alpha=alpha)
    key = "blocks.0.mlp.fc1.weight"
    scale = 8 / 4**0.5 if adapter else 32 / 4
    expected = small_model.encoders[1][key].float() + scale * adapters[1][f"{key}.B"] @ adapters[1][f"{key}.A"]
    found = loaded.backbone_state[f"encoders.siglip.{key}"]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_d_beside_shards_takes_vision_from_the_pt_and_the_projector_from_the_shards(
    small_model: Model, tmp_path: Path
) -> None:
    write_openvla(tmp_path, small_model)
    write_oft(tmp_path, small_model, adapter={"r": 4, "lora_alpha": 16})
    loaded = load_checkpoint(tmp_path, preset=small_model.preset, projector=True)
    assert loaded.format.startswith("D")
    assert "from the .pt file" in " ".join(loaded.warnings)
    assert_equal(loaded.projector_state, small_model.projector)


def grown(encoder: dict[str, Tensor], grid: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The encoder as it was trained: with position embeddings of another grid."""
    _, positions, width = encoder["pos_embed"].shape
    trained = torch.rand(1, positions - 256 + grid**2, width, generator=generator)
    return {**encoder, "pos_embed": trained.to(encoder["pos_embed"].dtype)}


@pytest.mark.parametrize("preset", ["dinov2-s-reg4-224", "dinov2-s-224"])
def test_c_resamples_positions_as_timm_does(timm: ModuleType, preset: str, tmp_path: Path) -> None:
    model = make_model(shallow(preset), dtype=torch.float32)
    (spec,) = model.preset.encoders
    encoder = grown(model.encoders[0], 37, torch.Generator().manual_seed(3))
    file = write_timm(tmp_path / f"{spec.timm_id}.safetensors", encoder)
    loaded = load_checkpoint(file, preset=model.preset)
    reference = timm.create_model(spec.architecture, pretrained=False, num_classes=0, img_size=224, depth=3)
    expected = timm.models.vision_transformer.checkpoint_filter_fn(dict(load_file(file)), reference)["pos_embed"]
    assert expected.shape[1] == 256 + spec.embed_prefix
    assert torch.equal(loaded.backbone_state["encoders.dinov2.pos_embed"], expected)
    assert loaded.warnings == ("encoders.dinov2.pos_embed: positions resampled from 37x37 to 16x16",)


@pytest.mark.parametrize("layout", ["plus", "folder", "snapshots", "hub"])
def test_c_finds_a_pair_in_files_of_any_layout(
    small_model: Model, tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = small_model.preset
    generator = torch.Generator().manual_seed(4)
    encoders = [grown(small_model.encoders[0], 37, generator), small_model.encoders[1]]
    ids = [spec.timm_id for spec in preset.encoders]
    spec: str | Path = tmp_path
    if layout == "plus":
        files = [write_timm(tmp_path / f"{i}.safetensors", e) for i, e in zip(ids, encoders, strict=True)]
        spec = "+".join(map(str, files))
    elif layout == "folder":
        for timm_id, encoder in zip(ids, encoders, strict=True):
            write_timm(tmp_path / f"{timm_id}.safetensors", encoder)
    else:
        for timm_id, encoder in zip(ids, encoders, strict=True):
            folder = tmp_path / f"models--timm--{timm_id}" / "snapshots" / "0a1b"
            write_timm(folder / "model.safetensors", encoder, architecture=timm_id.split(".")[0])
    if layout == "hub":
        import huggingface_hub

        def download(repository: str, filename: str) -> str:
            return str(tmp_path / f"models--{repository.replace('/', '--')}" / "snapshots" / "0a1b" / filename)

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        for spec in ("hub:small", f"hub:{ids[0]}+{ids[1]}"):
            assert load_checkpoint(spec, preset=preset).sources["preset"].endswith(str(spec).partition(":")[2])
    loaded = load_checkpoint(spec, preset=preset)
    assert loaded.format.startswith("C")
    assert loaded.preset.name == "small"
    expected = executed(small_model)
    del expected["encoders.dinov2.pos_embed"]
    assert_equal({name: loaded.backbone_state[name] for name in expected}, expected)


def test_b_with_frozen_encoders_takes_stock_ones(openvla_model: Model, tmp_path: Path) -> None:
    preset = openvla_model.preset
    file = write_native(tmp_path / "b", openvla_model, config=NATIVE_CONFIG, frozen=True)
    ids = [spec.timm_id for spec in preset.encoders]
    stock = [grown(openvla_model.encoders[0], 37, torch.Generator().manual_seed(6)), openvla_model.encoders[1]]
    for timm_id, encoder in zip(ids, stock, strict=True):
        write_timm(tmp_path / "c" / f"{timm_id}.safetensors", encoder)
    loaded = load_checkpoint(file, preset=preset, projector=True, encoder_weights=tmp_path / "c")
    assert_equal(loaded.projector_state, openvla_model.projector)
    expected = executed(openvla_model)
    del expected["encoders.dinov2.pos_embed"]
    assert_equal({name: loaded.backbone_state[name] for name in expected}, expected)
    assert loaded.backbone_state["encoders.dinov2.pos_embed"].shape == (1, 256, 1024)
    assert loaded.preset.encoders[0].mean == (0.485, 0.456, 0.406)


def test_a_single_encoder_has_a_projector_of_two_layers(tmp_path: Path) -> None:
    model = make_model(shallow("dinov2-s-reg4-224", depth=2))
    a = load_checkpoint(write_openvla(tmp_path / "a", model), preset=model.preset, projector=True)
    b = load_checkpoint(write_native(tmp_path / "b", model), preset=model.preset, projector=True)
    assert list(a.projector_state or {}) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert a.fingerprint == b.fingerprint


def test_transposed_and_sliced_tensors_of_a_pt_are_gathered(small_model: Model, tmp_path: Path) -> None:
    def stride(state: dict[str, dict[str, Tensor]]) -> None:
        vision = state["vision_backbone"]
        key = "siglip_featurizer.blocks.0.mlp.fc1.weight"
        vision[key] = vision[key].t().contiguous().t()
        bias = "siglip_featurizer.blocks.0.mlp.fc1.bias"
        vision[bias] = torch.cat([vision[bias], vision[bias]])[vision[bias].numel() :]
        positions = "siglip_featurizer.pos_embed"
        vision[positions] = torch.cat([vision[positions]] * 2, dim=2)[..., : vision[positions].shape[2]]

    plain = load_checkpoint(write_native(tmp_path / "plain", small_model), preset=small_model.preset)
    odd = load_checkpoint(write_native(tmp_path / "odd", small_model, edit=stride), preset=small_model.preset)
    assert odd.fingerprint == plain.fingerprint
    assert_equal(odd.backbone_state, plain.backbone_state)


@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_other_precisions_load_as_they_are_or_as_asked(stored: torch.dtype, tmp_path: Path) -> None:
    model = make_model(shallow("dinov2-s-224", depth=2), dtype=stored)
    folder = write_openvla(tmp_path, model)
    assert load_checkpoint(folder, preset=model.preset).dtype == stored
    rounded = load_checkpoint(folder, preset=model.preset, dtype=torch.bfloat16)
    assert_equal(rounded.backbone_state, {name: t.bfloat16() for name, t in executed(model).items()})


def test_mixed_precisions_are_widened(tmp_path: Path) -> None:
    model = make_model(shallow("dinov2-s-224", depth=2))
    model.encoders[0]["pos_embed"] = model.encoders[0]["pos_embed"].float()
    assert load_checkpoint(write_openvla(tmp_path, model), preset=model.preset).dtype == torch.float32


def test_loading_runs_no_code(small_model: Model, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    def set_trap(state: dict[str, dict[str, Tensor]]) -> None:
        state["optimizer"] = Trap()  # type: ignore[assignment]

    file = write_native(tmp_path, small_model, edit=set_trap)
    with pytest.raises(CheckpointError, match="might run code"):
        load_checkpoint(file, preset=small_model.preset)
    assert not (tmp_path / "trapped").exists()


def test_the_same_values_in_other_words_are_another_fingerprint(tmp_path: Path) -> None:
    """Shape and name count, not only bytes."""
    preset = Preset(name="x", encoders=shallow("dinov2-s-224", depth=2).encoders)
    model = make_model(preset)
    before = load_checkpoint(write_openvla(tmp_path / "a", model), preset=preset).fingerprint
    encoder = model.encoders[0]
    one, other = "blocks.0.norm1.weight", "blocks.0.norm2.weight"
    encoder[one], encoder[other] = encoder[other], encoder[one]
    assert load_checkpoint(write_openvla(tmp_path / "b", model), preset=preset).fingerprint != before


def test_the_finite_check_sees_every_place_and_kind(tmp_path: Path) -> None:
    """Every dtype; first, last and middle element; NaN and both infinities; large finite values pass."""
    from omnivla_vision.checkpoint.errors import NonFiniteWeightsError
    from omnivla_vision.checkpoint.safetensors_file import read_header
    from omnivla_vision.checkpoint.stored import read_source

    count = 1_100_000  # more than one piece of reading
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        largest = torch.finfo(dtype).max
        values = torch.full((count,), -largest, dtype=dtype)
        file = tmp_path / f"{dtype}.safetensors"
        for place in (None, 0, count // 2, count - 1):
            for bad in (np.nan, np.inf, -np.inf):
                tensor = values.clone()
                if place is not None:
                    tensor[place] = bad
                save_file({"x": tensor}, file)
                source = read_header(file)["x"]
                if place is None:
                    assert torch.equal(read_source(source, dtype)[0], values)
                    break
                with pytest.raises(NonFiniteWeightsError, match="NaN or Inf"):
                    read_source(source, dtype)
