"""Format C: timm's own files, alone, in pairs, and before a projector that was trained on frozen ones."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file
from torch import Tensor

from omnivla_vision.checkpoint import load_checkpoint
from test.checkpoint.comparison import NATIVE_CONFIG, assert_equal, executed
from test.checkpoint.writers import (
    Model,
    make_model,
    write_native,
    write_timm,
)
from test.presets import shallow


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
        huggingface_hub = pytest.importorskip("huggingface_hub")

        def download(repository: str, filename: str, revision: str | None) -> str:
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
