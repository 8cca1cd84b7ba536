"""Which image path is assumed of a checkpoint, by what training left in its folder, and how it is overruled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.cli import main
from omnivla_vision.network.image_paths import IMAGE_PATHS, UnknownImagePathError
from omnivla_vision.network.preprocessing_id import preprocessing_id
from omnivla_vision.weights import open_weights
from test.checkpoint.adapters import write_adapter
from test.checkpoint.writers import Model, write_native, write_oft, write_openvla

OMNIVLA = ("action_head--120000_checkpoint.pt", "pose_projector--120000_checkpoint.pt")
MERGED_OFT = ("action_head--150000_checkpoint.pt", "proprio_projector--150000_checkpoint.pt")


@pytest.mark.parametrize(
    ("beside", "name", "why"),
    [
        ((), "openvla", "no file tells which policy it is"),
        (OMNIVLA, "omnivla", "pose_projector--120000_checkpoint.pt, which only OmniVLA's training writes"),
        (MERGED_OFT, "openvla-oft-crop", "action_head--150000_checkpoint.pt, as OpenVLA-OFT's training writes it"),
        (("noisy_action_projector--5_checkpoint.pt",), "openvla-oft-crop", "noisy_action_projector--5_checkpoint.pt"),
    ],
)
def test_what_lies_beside_the_shards_tells(
    small_model: Model, tmp_path: Path, beside: tuple[str, ...], name: str, why: str
) -> None:
    folder = write_openvla(tmp_path, small_model)
    for file in beside:
        (folder / file).touch()
    loaded = load_checkpoint(folder, preset=small_model.preset)
    assert loaded.preset.image_path == IMAGE_PATHS[name]
    assert loaded.sources["image_path"].startswith("assumed: ")
    assert why in loaded.sources["image_path"]
    warned = [warning for warning in loaded.warnings if "image path openvla-oft-crop is assumed" in warning]
    assert len(warned) == (name == "openvla-oft-crop")


def test_an_oft_backbone_is_assumed_to_be_cropped_and_says_so(small_model: Model, tmp_path: Path) -> None:
    write_oft(tmp_path, small_model, adapter={"r": 4, "lora_alpha": 16})
    loaded = load_checkpoint(tmp_path, preset=small_model.preset)
    assert loaded.preset.image_path.name == "openvla-oft-crop"
    assert "openvla-oft if image_aug was false" in loaded.warnings[-1]
    assert preprocessing_id(loaded.preset).startswith("unless-224(jpeg:95:420:ifast>")


def test_an_adapter_tells_by_the_run_that_it_lies_in(small_model: Model, tmp_path: Path) -> None:
    base = write_openvla(tmp_path / "base", small_model)
    adapter, _ = write_adapter(tmp_path / "run" / "lora_adapter", small_model)
    loaded = load_checkpoint(base, preset=small_model.preset, lora_adapter=adapter)
    assert loaded.preset.image_path.name == "openvla"
    (tmp_path / "run" / MERGED_OFT[0]).touch()
    loaded = load_checkpoint(base, preset=small_model.preset, lora_adapter=adapter)
    assert loaded.preset.image_path.name == "openvla-oft-crop"
    assert MERGED_OFT[0] in loaded.sources["image_path"]


def test_the_request_overrules_and_silences(small_model: Model, tmp_path: Path) -> None:
    write_oft(tmp_path, small_model, adapter={"r": 4, "lora_alpha": 16})
    loaded = load_checkpoint(tmp_path, preset=small_model.preset, image_path="openvla-oft")
    assert loaded.preset.image_path == IMAGE_PATHS["openvla-oft"]
    assert loaded.sources["image_path"] == "the request"
    assert not any("image path" in warning for warning in loaded.warnings)
    assumed = load_checkpoint(tmp_path, preset=small_model.preset)
    assert loaded.fingerprint == assumed.fingerprint


def test_other_formats_have_the_presets(small_model: Model, tmp_path: Path) -> None:
    loaded = load_checkpoint(write_native(tmp_path, small_model), preset=small_model.preset)
    assert loaded.preset.image_path.name == "plain"
    assert loaded.sources["image_path"] == "preset small"


def test_an_unknown_path_is_refused_with_the_known_ones(small_model: Model, tmp_path: Path) -> None:
    folder = write_openvla(tmp_path, small_model)
    for refuse in (
        lambda: load_checkpoint(folder, preset=small_model.preset, image_path="openvla-center-crop"),
        lambda: open_weights(image_path="openvla-center-crop"),
    ):
        with pytest.raises(UnknownImagePathError, match=r"unknown image path 'openvla-center-crop'.*openvla-crop,"):
            refuse()


def test_inspect_names_path_steps_and_reason(
    openvla_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnivla_vision.network import presets

    monkeypatch.setitem(presets.PRESETS, "dinosiglip-224", openvla_model.preset)
    folder = write_openvla(tmp_path, openvla_model)
    assert main(["inspect", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["image_path"], report["image_path_steps"]) == ("openvla", [])
    assert "--image-path openvla-crop" in report["image_path_from"]
    assert main(["inspect", str(folder), "--image-path", "openvla-crop"]) == 0
    out = capsys.readouterr().out
    assert "openvla-crop (the request)" in out
    assert "crop-and-resize:0.9:224:bilinear" in out
    assert main(["inspect", str(folder), "--image-path", "crop"]) == 1
    assert "unknown image path 'crop'; expected one of plain, omnivla, openvla," in capsys.readouterr().err
