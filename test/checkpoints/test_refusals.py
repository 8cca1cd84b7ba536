"""Every broken checkpoint is refused by its own exception, which names file, key, found, expected and what to do."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from omnivla_vision.checkpoint import errors, load_checkpoint
from omnivla_vision.errors import VisionError
from omnivla_vision.presets import UnknownPresetError
from test.checkpoints.writers import (
    Edit,
    Model,
    State,
    make_model,
    openvla_config,
    shallow,
    write_native,
    write_oft,
    write_openvla,
    write_timm,
)

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "vision_backbone.featurizer.", "vision_backbone.fused_featurizer."
QKV = "blocks.0.attn.qkv.weight"


def refused(path: str | Path, model: Model, error: type[errors.CheckpointError], *parts: str, **options: Any) -> None:
    """Loading raises exactly this class, and the sentence has all the parts."""
    with pytest.raises(error) as caught:
        load_checkpoint(path, preset=model.preset, **options)
    assert type(caught.value) is error
    message = str(caught.value)
    for part in (": found ", "; expected ", *parts):
        assert part in message, message
    assert caught.value.advice
    assert isinstance(caught.value, VisionError)


def edit_index(folder: Path, **entries: str) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] |= {key.replace("__", "."): name for key, name in entries.items()}
    (folder / INDEX).write_text(json.dumps(index))


def shard_of(folder: Path, key: str) -> Path:
    return folder / str(json.loads((folder / INDEX).read_text())["weight_map"][key])


@pytest.fixture
def folder(small_model: Model, tmp_path: Path) -> Path:
    return write_openvla(tmp_path / "model", small_model)


def delete(key: str) -> Edit:
    return lambda state: state.__delitem__(key)


def put(key: str, tensor: Tensor) -> Edit:
    return lambda state: state.__setitem__(key, tensor)


# --- Finding it ---


def test_nothing_there(small_model: Model, tmp_path: Path) -> None:
    refused(tmp_path / "typo", small_model, errors.CheckpointNotFoundError, "typo: found nothing", "check the path")


def test_an_empty_folder(small_model: Model, tmp_path: Path) -> None:
    refused(tmp_path, small_model, errors.UnknownFormatError, "an empty folder", INDEX, "vision_backbone--*")


def test_a_folder_of_something_else(small_model: Model, tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    refused(tmp_path, small_model, errors.UnknownFormatError, "found README.md", "the folder of a checkpoint")


def test_a_file_of_something_else(small_model: Model, tmp_path: Path) -> None:
    other = tmp_path / "action_head.safetensors"
    save_file({"model.fc1.weight": torch.zeros(2)}, other)
    refused(other, small_model, errors.UnknownFormatError, "a file of another kind", "supported format")
    refused(f"{other}+{other}", small_model, errors.UnknownFormatError, "one model's .safetensors on each side of")
    head = tmp_path / "action_head--1000_checkpoint.pt"
    torch.save({"model.fc1.weight": torch.zeros(2)}, head)
    refused(head, small_model, errors.UnknownFormatError, "a file of another kind")


def test_several_steps(small_model: Model, tmp_path: Path) -> None:
    file, _ = write_oft(tmp_path / "d", small_model)
    file.with_name("vision_backbone--2000_checkpoint.pt").symlink_to(file)
    refused(tmp_path / "d", small_model, errors.AmbiguousCheckpointError, "--1000_", "--2000_", "name the file")
    file = write_native(tmp_path / "b", small_model)
    file.rename(file.with_name("step-000001.pt"))
    file.with_name("step-000002.pt").touch()
    refused(tmp_path / "b", small_model, errors.AmbiguousCheckpointError, "2 .pt files", "step-000002.pt")


def test_timm_files_in_an_order_that_nobody_knows(small_model: Model, tmp_path: Path) -> None:
    for name, encoder in zip(("one", "other"), small_model.encoders, strict=True):
        write_timm(tmp_path / f"{name}.safetensors", encoder)
    refused(tmp_path, small_model, errors.AmbiguousCheckpointError, "one.safetensors", "with a + between them")


# --- The index and its shards ---


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_a_broken_index(small_model: Model, folder: Path, text: str) -> None:
    (folder / INDEX).write_text(text)
    refused(folder, small_model, errors.IndexFileError, INDEX, "download it again")


@pytest.mark.parametrize("target", ["../outside.safetensors", "a/../../outside.safetensors", "{absolute}"])
def test_an_index_entry_that_leaves_the_folder(small_model: Model, folder: Path, target: str) -> None:
    outside = folder.parent / "outside.safetensors"
    save_file({f"{FIRST}pos_embed": small_model.encoders[0]["pos_embed"]}, outside)
    edit_index(folder, **{f"{FIRST}pos_embed": target.replace("{absolute}", str(outside))})
    refused(folder, small_model, errors.PathEscapeError, f"{FIRST}pos_embed", "outside", "tampered")


def test_a_missing_shard(small_model: Model, folder: Path) -> None:
    shard = shard_of(folder, f"{SECOND}{QKV}")
    shard.unlink()
    refused(folder, small_model, errors.MissingShardError, INDEX, f"found no file {shard.name}", "download it")
    shard.symlink_to(folder / "nowhere")
    refused(folder, small_model, errors.MissingShardError, "a symlink to nothing")


def test_an_index_naming_a_missing_key(small_model: Model, folder: Path) -> None:
    edit_index(folder, **{f"{FIRST}{QKV}": "model-00003-of-00003.safetensors"})
    refused(folder, small_model, errors.IndexMismatchError, "model-00003", f"{FIRST}{QKV}", "different checkpoints")


def test_a_truncated_shard(small_model: Model, folder: Path) -> None:
    shard = shard_of(folder, f"{SECOND}{QKV}")
    whole = shard.stat().st_size
    for size in (whole - 1, whole // 2, 1000, 8, 3, 0):
        with shard.open("r+b") as stream:
            stream.truncate(size)
        refused(folder, small_model, errors.CorruptFileError, shard.name, "truncated or damaged", "download it again")


@pytest.mark.parametrize(
    "header",
    [
        b"no json",
        b"[]",
        b'{"x": {"dtype": "F32"}}',
        b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}',
    ],
)
def test_a_shard_with_a_broken_header(small_model: Model, folder: Path, header: bytes) -> None:
    shard = shard_of(folder, f"{SECOND}{QKV}")
    shard.write_bytes(struct.pack("<Q", len(header)) + header + bytes(100))
    refused(folder, small_model, errors.CorruptFileError, shard.name, "a header that does not parse")


def test_a_file_that_shrinks_while_it_is_read(small_model: Model, folder: Path) -> None:
    from omnivla_vision.checkpoint.safetensors_file import read_header
    from omnivla_vision.checkpoint.stored import read_source

    shard = shard_of(folder, f"{SECOND}{QKV}")
    source = read_header(shard)[f"{SECOND}{QKV}"]
    with shard.open("r+b") as stream:
        stream.truncate(source.offset + 10)
    with pytest.raises(errors.CorruptFileError, match="found the end of the file"):
        read_source(source, torch.bfloat16)


# --- .pt files ---


def test_a_pt_file_with_code(small_model: Model, tmp_path: Path) -> None:
    file = write_native(tmp_path, small_model, edit=lambda state: state.update(config=Path("/")))  # type: ignore[call-overload]
    refused(
        file, small_model, errors.UnsafePickleError, "pathlib", "tensors and plain containers only", "might run code"
    )


def test_a_truncated_pt_file(small_model: Model, tmp_path: Path) -> None:
    file = write_native(tmp_path, small_model)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)
    refused(file, small_model, errors.CorruptFileError, "without its end", "truncated or damaged")
    file.write_bytes(b"<html>not found</html>")
    refused(file, small_model, errors.CorruptFileError, "no zip archive")


def test_a_zip_that_is_no_pt_file(small_model: Model, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("a", "b")
    refused(tmp_path / "x.pt", small_model, errors.CorruptFileError, "x.pt", "expected a .pt file")


def test_a_pt_file_of_old(small_model: Model, tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pt", small_model, errors.LegacyPickleError, "before 1.6", "torch.save(torch.load(old")


# --- Tensors ---


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


# --- LoRA ---


def test_lora_of_unknown_scale(small_model: Model, tmp_path: Path) -> None:
    file, _ = write_oft(tmp_path, small_model)
    refused(file, small_model, errors.LoraError, "lora_A.default.weight", "no adapter_config.json", "--lora-alpha")


@pytest.mark.parametrize("half", ["lora_A.default", "lora_B.default", "base_layer"])
def test_half_of_an_adapter(small_model: Model, tmp_path: Path, half: str) -> None:
    key = f"featurizer.blocks.0.attn.qkv.{half}.weight"
    file, _ = write_oft(tmp_path, small_model, edit=delete(key))
    refused(file, small_model, errors.LoraError, "found it alone", f"{half}.weight too", "incomplete", lora_alpha=8)


def test_an_adapter_of_another_shape(small_model: Model, tmp_path: Path) -> None:
    key = "featurizer.blocks.0.attn.qkv.lora_A.default.weight"
    file, _ = write_oft(tmp_path, small_model, edit=put(key, torch.zeros(4, 7)))
    refused(file, small_model, errors.LoraError, "A [4, 7] and B [1152, 4] for a weight [1152, 384]", lora_alpha=8)


def test_an_adapter_of_another_rank_than_configured(small_model: Model, tmp_path: Path) -> None:
    file, _ = write_oft(tmp_path, small_model, adapter={"r": 32, "lora_alpha": 16})
    refused(file, small_model, errors.LoraError, "found rank 4; expected r = 32", "adapter_config.json")


@pytest.mark.parametrize(
    ("adapter", "options", "message"),
    [
        ({"r": 4, "lora_alpha": 16}, {"lora_alpha": 8.0}, "lora_alpha: found 16; expected 8.0, as given"),
        ({"r": 4}, {}, "lora_alpha None, r 4"),
        ({"r": 0, "lora_alpha": 16}, {}, "r 0"),
        ({"r": 4, "lora_alpha": 16, "use_dora": True}, {}, "use_dora"),
        ({"r": 4, "lora_alpha": 16, "rank_pattern": {"qkv": 8}}, {}, "rank_pattern"),
    ],
)
def test_an_adapter_config_that_does_not_do(
    small_model: Model, tmp_path: Path, adapter: dict[str, Any], options: dict[str, float], message: str
) -> None:
    file, _ = write_oft(tmp_path, small_model, adapter=adapter)
    refused(file, small_model, errors.ConfigError, "adapter_config.json", message, **options)


def test_a_merge_that_overflows(small_model: Model, tmp_path: Path) -> None:
    key = "featurizer.blocks.0.attn.qkv.lora_A.default.weight"
    file, _ = write_oft(tmp_path, small_model, edit=put(key, torch.full((4, 384), 3e38)))
    refused(file, small_model, errors.NonFiniteWeightsError, "after merging LoRA", lora_alpha=1e6)


# --- The projector ---


def test_a_projector_of_another_width(small_model: Model, tmp_path: Path) -> None:
    narrow = small_model.projector | {"fc1.weight": small_model.projector["fc1.weight"][:, :1151].contiguous()}
    for path in (
        write_openvla(tmp_path / "a", replace(small_model, projector=narrow)),
        write_native(tmp_path / "b", replace(small_model, projector=narrow)),
    ):
        refused(path, small_model, errors.ProjectorWidthError, "found 1151 inputs; expected 1152", projector=True)


def test_no_projector(small_model: Model, tmp_path: Path) -> None:
    folder = write_openvla(tmp_path, replace(small_model, projector={}))
    refused(folder, small_model, errors.MissingProjectorError, "found no projector", "use fused space", projector=True)


def test_a_projector_of_other_layers(small_model: Model, tmp_path: Path) -> None:
    two = {name: tensor for name, tensor in small_model.projector.items() if not name.startswith("fc3")}
    folder = write_openvla(tmp_path / "a", replace(small_model, projector=two))
    refused(folder, small_model, errors.MissingTensorError, "projector fc3.weight", "of 3 layers", projector=True)
    single = make_model(shallow("dinov2-s-224", depth=2))
    folder = write_openvla(tmp_path / "b", replace(single, projector=small_model.projector))
    refused(folder, single, errors.UnexpectedTensorError, "projector.fc3.bias", "of 2 layers", projector=True)
    linear = write_native(
        tmp_path / "c", small_model, edit=lambda state: state["projector"].update({"projector.weight": torch.zeros(1)})
    )
    refused(linear, small_model, errors.UnexpectedTensorError, "projector.weight", "MLP projectors")


def test_a_projector_whose_layers_do_not_fit(small_model: Model, tmp_path: Path) -> None:
    odd = small_model.projector | {"fc2.weight": torch.zeros(64, 100)}
    folder = write_openvla(tmp_path, replace(small_model, projector=odd))
    refused(folder, small_model, errors.ShapeMismatchError, "projector.fc2.weight", "[64, 4608]", projector=True)


# --- Frozen encoders, presets, the hub ---


def test_frozen_encoders_without_stock_ones(openvla_model: Model, tmp_path: Path) -> None:
    config = {"model": {"vision_backbone_id": "dinosiglip-vit-so-224px", "image_resize_strategy": "resize-naive"}}
    file = write_native(tmp_path, openvla_model, frozen=True, config=config)
    refused(
        file,
        openvla_model,
        errors.MissingEncodersError,
        "vision_backbone",
        "frozen",
        "--encoder-weights hub:dinosiglip-224",
    )


def test_a_preset_that_the_checkpoint_contradicts(openvla_model: Model, small_model: Model, tmp_path: Path) -> None:
    folder = write_openvla(tmp_path, openvla_model, config=openvla_config())
    refused(
        folder,
        small_model,
        errors.PresetConflictError,
        "found preset dinosiglip-224, as config.json says; expected small, as asked for",
    )


def test_a_preset_that_nobody_knows(small_model: Model, folder: Path) -> None:
    with pytest.raises(UnknownPresetError, match="known presets: dinosiglip-224, small, "):
        load_checkpoint(folder, preset="dinosiglip")


def test_shapes_that_fit_several_presets(tmp_path: Path) -> None:
    model = make_model(shallow("siglip-224", depth=27))
    folder = write_openvla(tmp_path, replace(model, encoders=[without_data(model.encoders[0])]))
    with pytest.raises(errors.AmbiguousCheckpointError, match=r"siglip-224, siglip2-so400m-224, pi0.*--preset"):
        load_checkpoint(folder)


def without_data(encoder: State) -> State:
    """The same names; only what tells a preset has its shape."""
    telling = ("patch_embed.proj.weight", "pos_embed")
    return {name: tensor if name in telling else torch.zeros(1) for name, tensor in encoder.items()}


def test_shapes_that_fit_no_preset(tmp_path: Path) -> None:
    model = make_model(shallow("dinov2-s-224", depth=5))
    with pytest.raises(errors.UnknownFormatError, match="shapes that no preset has; expected one of siglip-224"):
        load_checkpoint(write_openvla(tmp_path, model))


def test_a_pair_that_fits_no_preset_is_compared_with_the_default(small_model: Model, folder: Path) -> None:
    with pytest.raises(errors.CheckpointError, match="preset dinosiglip-224"):
        load_checkpoint(folder)


def test_the_hub_out_of_reach(small_model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fail(repository: str, filename: str) -> str:
        raise LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    refused("hub:small", small_model, errors.HubError, "timm/vit_small_patch14_reg4_dinov2.lvd142m", "check the id and")


def test_the_hub_without_its_library(small_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused("hub:small", small_model, errors.HubError, "no huggingface_hub", "pip install huggingface_hub")


def test_a_single_file_of_safetensors_is_checked_too(small_model: Model, folder: Path, tmp_path: Path) -> None:
    state: State = {}
    for file in sorted(folder.glob("*.safetensors")):
        state |= load_file(file)
    del state[f"{FIRST}pos_embed"]
    save_file(state, tmp_path / "model.safetensors")
    refused(tmp_path / "model.safetensors", small_model, errors.MissingTensorError, f"{FIRST}pos_embed")
