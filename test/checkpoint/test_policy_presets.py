"""Weights that a policy and others run in their own ways: found as the plain encoder, and run as they are asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.checkpoint.errors import PresetConflictError
from omnivla_vision.checkpoint.identify import preset_of_timm_ids
from omnivla_vision.network.presets import PRESETS, get_preset
from omnivla_vision.network.vit import VisionTransformer

DINOV2_B = "vit_base_patch14_dinov2.lvd142m"


def stock(folder: Path, name: str) -> Path:
    """A file of all of DINOv2-B's tensors, zeros, under timm's names."""
    (spec,) = get_preset("dinov2-b-224").encoders
    with torch.device("meta"):
        state = VisionTransformer(replace(spec, skipped_blocks=0, final_norm=True)).state_dict()
    file = folder / f"{name}.safetensors"
    save_file({key: torch.zeros(tensor.shape, dtype=torch.float16) for key, tensor in state.items()}, file)
    return file


@pytest.mark.parametrize("name", ["weights", DINOV2_B])
def test_dinov2_is_known_by_shape_or_name_and_may_run_on_a_rectangle(name: str, tmp_path: Path) -> None:
    file = stock(tmp_path, name)
    assert load_checkpoint(file).preset.name == "dinov2-b-224"
    loaded = load_checkpoint(file, preset="citywalker-350x630")
    assert loaded.preset.name == "citywalker-350x630"
    assert loaded.backbone_state["encoders.dinov2.pos_embed"].shape == (1, 1 + 25 * 45, 768)
    assert loaded.warnings == ("encoders.dinov2.pos_embed: positions resampled from 16x16 to 25x45",)


def test_a_name_is_not_overruled(tmp_path: Path) -> None:
    with pytest.raises(PresetConflictError):
        load_checkpoint(stock(tmp_path, DINOV2_B), preset="navdp-224")


def test_a_pair_that_only_a_policy_has_tells_it() -> None:
    preset = get_preset("robottrack-384")
    assert preset_of_timm_ids([spec.timm_id for spec in preset.encoders]) is preset


def test_one_encoder_tells_no_policy(timm: object) -> None:
    for name in ("navdp-224", "navila-384", "smolvla-512", "citywalker-350x630"):
        (spec,) = PRESETS[name].encoders
        found = preset_of_timm_ids([spec.timm_id])
        assert found.name != name
        assert found.encoders[0].architecture == spec.architecture
