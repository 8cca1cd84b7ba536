"""Format D: LoRA is merged on load, exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.checkpoint import load_checkpoint
from test.checkpoint.comparison import assert_equal, executed
from test.checkpoint.writers import (
    Model,
    write_oft,
    write_openvla,
)


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
