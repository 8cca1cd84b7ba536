"""The regression gate: bit-equal between processes, and it notices the mistakes that people make."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional as F

from omnivla_vision.cli import main
from omnivla_vision.images import preprocess
from omnivla_vision.network import encoders, presets
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.replay.baseline import Baseline, BaselineError
from omnivla_vision.replay.gate import BaselineMismatchError, Limits, compare
from omnivla_vision.resources import resource_path
from test.presets import small_is_shallow

PROGRAM = (sys.executable, "-m", "omnivla_vision.cli")
DRIVE = str(resource_path("resource/sample_drive"))
# Three frames and the goal.
PLAY = ["replay", DRIVE, "--preset", "small", "--engine", "eager", "--duration", "0.25", "--no-tokens"]
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a shallow network, in this process: most mistakes are made here."""
    folder = tmp_path_factory.mktemp("baseline")
    file = folder / "drive.baseline"
    with small_is_shallow():
        assert main([*PLAY, "--out", str(folder), "--save-baseline", str(file)]) == 0
    return file


def against(baseline: Path, out: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Replay in this process against the baseline: the exit code and metrics.json."""
    with small_is_shallow():
        code = main([*PLAY, "--out", str(out), "--against", str(baseline), *more])
    file = out / "metrics.json"
    return code, json.loads(file.read_text()) if file.exists() else {}


@pytest.mark.slow
def test_two_processes_give_bit_equal_tokens_and_pass(tmp_path: Path) -> None:
    def replay(*arguments: str) -> Any:
        command = [*PROGRAM, *PLAY, "--out", str(tmp_path), "--json", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    first = replay("--save-baseline", str(tmp_path / "b"))
    metrics = replay("--against", str(tmp_path / "b"))
    assert metrics["tokens_sha256"] == first["tokens_sha256"] != ""
    assert metrics["gate"]["passed"]
    assert metrics["gate"]["views"] == 4
    assert metrics["gate"]["worst"][0]["relative_l2"] == 0
    assert metrics["gate"]["worst"][0]["norm_change"] == 0


def test_a_baseline_is_small(baseline: Path) -> None:
    assert baseline.stat().st_size < 150_000
    stored = Baseline.load(baseline)
    assert stored.names == ("frame 0", "goal 0", "frame 1", "frame 2")
    assert stored.encoders == {"dinov2": 384, "siglip": 768}


def swap_channel_groups(patch: Patch) -> None:
    """Each encoder gets the other's normalization."""
    real = preprocess.Preprocessor.__init__

    def init(self: preprocess.Preprocessor, preset: presets.Preset) -> None:
        real(self, preset)
        self._statistics = dict(zip(self._statistics, reversed(list(self._statistics.values())), strict=True))

    patch.setattr(preprocess.Preprocessor, "__init__", init)


def wrong_mean(patch: Patch) -> None:
    """SigLIP's mean for both."""
    real = preprocess.Preprocessor.__init__

    def init(self: preprocess.Preprocessor, preset: presets.Preset) -> None:
        real(self, preset)
        _, std = self._statistics["dinov2"]
        self._statistics["dinov2"] = torch.tensor(encoders.HALF).view(3, 1, 1), std

    patch.setattr(preprocess.Preprocessor, "__init__", init)


def rounded_mean(patch: Patch) -> None:
    """OpenVLA's DINOv2 numbers, which went through bfloat16, where the exact ones belong."""
    real = preprocess.Preprocessor.__init__

    def init(self: preprocess.Preprocessor, preset: presets.Preset) -> None:
        real(self, preset)
        rounded = encoders.OPENVLA_DINOV2_MEAN, encoders.OPENVLA_DINOV2_STD
        self._statistics["dinov2"] = tuple(torch.tensor(triple).view(3, 1, 1) for triple in rounded)

    patch.setattr(preprocess.Preprocessor, "__init__", init)


def bilinear_resize(patch: Patch) -> None:
    """The mildest form: antialiased, as PIL and torchvision do it."""

    def resize(image: preprocess.Image, size: ImageSize, how: object) -> torch.Tensor:
        planes = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0)
        return F.interpolate(planes, size=size, mode="bilinear", antialias=True)[0]

    patch.setattr(preprocess, "resize", resize)


def last_block(patch: Patch) -> None:
    """Features of the last block instead of the second-to-last."""
    patch.setattr(presets.EncoderSpec, "block", property(lambda self: self.depth - 1))


@pytest.mark.parametrize("mistake", [swap_channel_groups, wrong_mean, rounded_mean, bilinear_resize, last_block])
def test_a_mistake_is_caught(
    mistake: Callable[[Patch], None],
    baseline: Path,
    tmp_path: Path,
    monkeypatch: Patch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mistake(monkeypatch)
    code, metrics = against(baseline, tmp_path)
    assert code == 1
    gate = metrics["gate"]
    assert not gate["passed"]
    assert gate["failed"] == gate["views"] == 4, "every view is affected"
    assert gate["worst"][0]["excess"] > (1.5 if mistake is rounded_mean else 5), "not by chance"
    shown = capsys.readouterr().out
    assert "4 of 4 views differ from the baseline" in shown
    assert gate["worst"][0]["view"] in shown
    assert "Baseline: failed" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("mistake", [swap_channel_groups, bilinear_resize])
def test_a_mistake_is_caught_in_spite_of_massive_channels(
    mistake: Callable[[Patch], None], tmp_path: Path, monkeypatch: Patch
) -> None:
    """Over raw tokens, the massive channel would be all that is compared."""
    with small_is_shallow():
        realistic = [*PLAY, "--weights", "realistic"]
        assert main([*realistic, "--out", str(tmp_path), "--save-baseline", str(tmp_path / "b")]) == 0
    assert against(tmp_path / "b", tmp_path, "--weights", "realistic")[0] == 0
    mistake(monkeypatch)
    code, metrics = against(tmp_path / "b", tmp_path, "--weights", "realistic")
    assert code == 1
    assert metrics["gate"]["failed"] == 4
    assert metrics["gate"]["worst"][0]["excess"] > 5


def test_a_baseline_of_an_older_format_is_refused_with_a_sentence(
    baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    old.write_bytes(baseline.read_bytes().replace(b"replay baseline 2", b"replay baseline 1"))
    assert against(old, tmp_path)[0] == 1
    error = capsys.readouterr().err
    assert "format 'omnivla_vision replay baseline 1', which was measured in another way" in error
    assert "Traceback" not in error


def test_other_weights_are_refused_and_compared_only_when_told_to(
    baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = against(baseline, tmp_path, "--seed", "1")
    assert code == 1
    assert "found fingerprint 'weights: random, seed 1, small'" in capsys.readouterr().err
    code, metrics = against(baseline, tmp_path, "--seed", "1", "--allow-different")
    assert code == 1
    assert metrics["gate"]["failed"] == 4


def test_wide_limits_pass(baseline: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    bilinear_resize(monkeypatch)
    limits = ["--min-cosine", "0.9", "--max-relative-l2", "0.5", "--max-norm-change", "0.5"]
    code, metrics = against(baseline, tmp_path, *limits)
    assert code == 0
    assert metrics["gate"]["passed"]


def test_another_preprocessing_or_recording_is_refused(baseline: Path) -> None:
    stored = Baseline.load(baseline)
    other = replace(stored, provenance=replace(stored.provenance, preprocessing_id="letterbox"))
    with pytest.raises(BaselineMismatchError, match=r"preprocessing_id 'letterbox'.*--allow-different"):
        compare(other, stored, Limits())
    assert compare(other, stored, Limits(), allow_different=True).passed
    with pytest.raises(BaselineMismatchError, match="another recording"):
        compare(replace(stored, stamps_ns=stored.stamps_ns + 1), stored, Limits())
    with pytest.raises(BaselineMismatchError, match="same preset"):
        compare(replace(stored, encoders={"clip": 1024}), stored, Limits())


def test_nan_does_not_pass(baseline: Path) -> None:
    stored = Baseline.load(baseline)
    for changed in (
        replace(stored, norms=np.full_like(stored.norms, np.nan)),
        replace(stored, samples={view: np.full_like(tokens, np.nan) for view, tokens in stored.samples.items()}),
    ):
        assert not compare(changed, stored, Limits()).passed


def test_one_changed_token_in_one_frame_is_named(baseline: Path) -> None:
    stored = Baseline.load(baseline)
    samples = {view: tokens.copy() for view, tokens in stored.samples.items()}
    samples[2][1, -768:] *= 1.05
    verdict = compare(replace(stored, samples=samples), stored, Limits())
    assert not verdict.passed
    assert (verdict.failed, verdict.worst[0].view, verdict.worst[0].encoder) == (1, "frame 1", "siglip")


@pytest.mark.parametrize("content", [None, b"", b"not a baseline", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "b"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BaselineError, match=r"make a baseline|save it again"):
        Baseline.load(file)
