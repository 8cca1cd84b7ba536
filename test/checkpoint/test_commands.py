"""`inspect` and `encode` on a whole checkpoint of the small pair, in two formats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.cli import main
from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.engine.eager import EagerEngine
from omnivla_vision.goal import Goal
from omnivla_vision.images.files import read_rgb
from omnivla_vision.network.presets import get_preset
from omnivla_vision.resources import resource_path
from test.checkpoint.adapters import write_adapter
from test.checkpoint.writers import make_model, write_native, write_openvla

CURRENT, GOAL = (str(resource_path(f"resource/parity/{name}.png")) for name in ("room", "gravel"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    model = make_model(get_preset("small"), out_width=4096)
    folder = tmp_path_factory.mktemp("whole")
    return {"A": write_openvla(folder / "a", model), "B": write_native(folder / "b", model)}


def encode(folder: Path, out: Path, *options: str) -> tuple[torch.Tensor, dict[str, str]]:
    assert main(["encode", "--image", CURRENT, "--checkpoint", str(folder), "--out", str(out), *options]) == 0
    with safe_open(out, "pt") as file:
        return load_file(out)["tokens"], file.metadata()


@pytest.mark.parametrize(("space", "width"), [("fused", 1152), ("projected", 4096)])
def test_encode_takes_a_checkpoint_and_a_space(
    folders: dict[str, Path], tmp_path: Path, space: str, width: int
) -> None:
    a, described = encode(folders["A"], tmp_path / "a", "--goal", GOAL, "--space", space)
    assert a.shape == (1, 512, width)
    checkpoint = load_checkpoint(folders["A"], dtype=torch.float32, projector=space == "projected")
    encoder = VisionEncoder(
        EagerEngine(checkpoint.backbone()),
        checkpoint.preset,
        weights="checkpoint",
        fingerprint=checkpoint.fingerprint,
        projector=checkpoint.projector(),
    )
    encoder.set_goal(Goal(rgb=read_rgb(Path(GOAL))))
    assert torch.equal(a[0], encoder.encode(read_rgb(Path(CURRENT))).tokens)
    assert described["weights"] == "checkpoint"
    assert described["space"] == space
    assert described["fingerprint"] == checkpoint.fingerprint


def test_format_b_gives_the_same_tokens_and_no_goal_zeros(folders: dict[str, Path], tmp_path: Path) -> None:
    a, described_a = encode(folders["A"], tmp_path / "a", "--space", "projected")
    b, described_b = encode(folders["B"], tmp_path / "b", "--space", "projected")
    assert torch.equal(a, b)  # the small pair's normalization is timm's in both formats
    assert described_a == described_b
    assert torch.count_nonzero(a[0, 256:]) == 0
    assert torch.count_nonzero(a[0, :256]) > 0


def test_encode_takes_an_image_path_and_its_file_says_so(folders: dict[str, Path], tmp_path: Path) -> None:
    plain, plainly = encode(folders["A"], tmp_path / "a")
    cropped, described = encode(folders["A"], tmp_path / "b", "--image-path", "openvla-crop")
    assert described["preprocessing_id"] == "crop-and-resize:0.9:224:bilinear|" + plainly["preprocessing_id"]
    assert described["fingerprint"] == plainly["fingerprint"]
    assert (cropped - plain).norm() > 0.05 * plain.norm()


def test_inspect_says_what_is_in_it(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folders["A"]), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    checkpoint = load_checkpoint(folders["A"], projector=True)
    assert report["format"].startswith("A")
    assert (report["preset"], report["preset_from"]) == ("small", "the tensors' shapes")
    assert report["fingerprint"] == checkpoint.fingerprint
    assert report["backbone_fingerprint"] == checkpoint.backbone_fingerprint
    assert report["projected_width"] == 4096
    assert report["normalization"]["dinov2"]["mean"] == [0.485, 0.456, 0.406]
    assert report["normalization_from"] == "preset small"
    assert report["resize"]["siglip"]["size"] == 256
    names = [part["name"] for part in report["parts"]]
    assert names == ["dinov2", "siglip", "projector"]
    executed = np.array([part["parameters_executed"] for part in report["parts"]])
    stored = np.array([part["parameters_stored"] for part in report["parts"]])
    assert (executed[:2] < stored[:2]).all()
    assert executed[2] == stored[2]
    assert sum(part["bytes_executed"] for part in report["parts"]) == 2 * executed.sum()


def test_an_adapter_counts_in_every_command(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = r"\.(patch_embed\.proj|blocks\.0\.attn\.qkv)$"
    model = make_model(get_preset("small"), out_width=4096)
    adapter, _ = write_adapter(tmp_path / "adapter", model, layers=layers, saved=("projector.fc1.bias",))
    merged = load_checkpoint(folders["A"], lora_adapter=adapter, projector=True)
    option = ("--lora-adapter", str(adapter))
    assert main(["inspect", str(folders["A"]), "--json", *option]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["fingerprint"] == merged.fingerprint != load_checkpoint(folders["A"], projector=True).fingerprint
    assert report["lora"] == {
        "path": str(adapter),
        "ranks": [4],
        "alphas": [16.0],
        "scales": [4.0],
        "layers": {"dinov2": 2, "siglip": 2},
        "saved": {"projector": 1},
        "ignored": [],
    }
    assert main(["inspect", str(folders["A"]), *option]) == 0
    out = capsys.readouterr().out
    for line in ("scale         4 (rank 4, alpha 16)", "merged        dinov2 2, siglip 2", "saved whole   projector 1"):
        assert line in out
    _, described = encode(folders["A"], tmp_path / "tokens", "--space", "projected", *option)
    assert described["fingerprint"] == merged.fingerprint


def test_inspect_says_what_of_each_image_is_looked_at(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(folders["A"]), "--region=0,0,1,0.8", "--region=goal=0,0,1,1"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line[:2] == ["looked", "at"]] == [
        ["looked", "at", "region:0,0,1,0.8"],
        ["looked", "at", "goal=region:0,0,1,1"],
    ]


def test_inspect_prints_the_same_for_people(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folders["B"]), "--preset", "small"]) == 0
    out = capsys.readouterr().out
    fingerprint = load_checkpoint(folders["B"], projector=True).fingerprint
    for part in (
        "B: Prismatic",
        "small (from the request)",
        "executed",
        "timm's, as native",
        fingerprint,
        "256 x 1152",
    ):
        assert part in out


def test_a_refusal_is_a_sentence_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["inspect"], ["encode", "--image", CURRENT, "--out", str(tmp_path / "t"), "--checkpoint"]):
        assert main([*command, str(tmp_path / "nowhere")]) == 1
        assert "found nothing; expected a checkpoint; check the path" in capsys.readouterr().err
