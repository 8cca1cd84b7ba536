"""LoRA, projectors, presets and downloads that do not do are refused with a sentence that helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file

from omnivla_vision.checkpoint import errors, load_checkpoint
from omnivla_vision.network.presets import UnknownPresetError, get_preset
from omnivla_vision.network.vit import VisionTransformer
from test.checkpoint.refusals import FIRST, delete, put, refused
from test.checkpoint.writers import (
    Model,
    State,
    make_model,
    openvla_config,
    write_native,
    write_oft,
    write_openvla,
)
from test.presets import shallow


@pytest.fixture
def folder(small_model: Model, tmp_path: Path) -> Path:
    return write_openvla(tmp_path / "model", small_model)


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
        ({"r": 4, "lora_alpha": 16}, {"lora_alpha": 8.0}, "lora_alpha: found 16; expected 8, as given"),
        ({"r": 4}, {}, "lora_alpha None, r 4"),
        ({"r": 0, "lora_alpha": 16}, {}, "r 0"),
        ({"r": 4, "lora_alpha": 16, "rank_pattern": {"(": 8}}, {}, "rank_pattern"),
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


def test_a_projector_of_another_width(small_model: Model, tmp_path: Path) -> None:
    narrow = small_model.projector | {"fc1.weight": small_model.projector["fc1.weight"][:, :1151].contiguous()}
    for path in (
        write_openvla(tmp_path / "a", replace(small_model, projector=narrow)),
        write_native(tmp_path / "b", replace(small_model, projector=narrow)),
    ):
        refused(
            path,
            small_model,
            errors.ProjectorWidthError,
            "fc1" if path.is_dir() else "0.weight",
            "found 1151 inputs; expected 1152",
        )


def test_no_projector(small_model: Model, tmp_path: Path) -> None:
    folder = write_openvla(tmp_path, replace(small_model, projector={}))
    refused(folder, small_model, errors.MissingProjectorError, "found no projector", "use fused space", projector=True)


def test_a_projector_of_other_layers(small_model: Model, tmp_path: Path) -> None:
    two = {name: tensor for name, tensor in small_model.projector.items() if not name.startswith("fc3")}
    folder = write_openvla(tmp_path / "a", replace(small_model, projector=two))
    refused(folder, small_model, errors.MissingTensorError, "projector fc3.weight", "of 3 layers", projector=True)
    single = make_model(shallow("dinov2-s-224", depth=2))
    third = {name: tensor for name, tensor in small_model.projector.items() if name.startswith("fc3")}
    folder = write_openvla(tmp_path / "b", replace(single, projector=single.projector | third))
    refused(folder, single, errors.UnexpectedTensorError, "projector.fc3.bias", "of 2 layers", projector=True)
    linear = write_native(
        tmp_path / "c", small_model, edit=lambda state: state["projector"].update({"projector.weight": torch.zeros(1)})
    )
    refused(linear, small_model, errors.UnexpectedTensorError, "projector.weight: found it", projector=True)
    load_checkpoint(linear, preset=small_model.preset)  # fused tokens need none


def test_a_projector_whose_layers_do_not_fit(small_model: Model, tmp_path: Path) -> None:
    odd = small_model.projector | {"fc2.weight": torch.zeros(64, 100)}
    folder = write_openvla(tmp_path, replace(small_model, projector=odd))
    refused(folder, small_model, errors.ShapeMismatchError, "projector.fc2.weight", "[64, 4608]", projector=True)


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
    preset = get_preset("siglip-224")
    (spec,) = preset.encoders
    with torch.device("meta"):
        shapes = VisionTransformer(replace(spec, skipped_blocks=0)).state_dict()
    # Only what tells a preset has its shape; nothing is read before the preset is known.
    telling = ("patch_embed.proj.weight", "pos_embed")
    encoder = {name: torch.zeros(tensor.shape if name in telling else 1) for name, tensor in shapes.items()}
    folder = write_openvla(tmp_path, Model(preset=preset, encoders=[encoder], projector={}))
    with pytest.raises(
        errors.AmbiguousCheckpointError, match=r"siglip-224, siglip2-so400m-224, siglip-hf-224, pi0.*--preset"
    ):
        load_checkpoint(folder)


def test_shapes_that_fit_no_preset(tmp_path: Path) -> None:
    model = make_model(shallow("dinov2-s-224", depth=5))
    with pytest.raises(errors.UnknownFormatError, match="shapes that no preset has; expected one of siglip-224"):
        load_checkpoint(write_openvla(tmp_path, model))


def test_a_pair_that_fits_no_preset_is_compared_with_the_default(small_model: Model, folder: Path) -> None:
    with pytest.raises(errors.CheckpointError, match="preset dinosiglip-224"):
        load_checkpoint(folder)


def test_the_hub_out_of_reach(small_model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fail(repository: str, filename: str, revision: str | None) -> str:
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
