"""build, verify, bench and doctor, run as a user runs them, on a network of a few blocks."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("torch")

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from omnivla_vision import doctor
from omnivla_vision.bench.runner import TICKS_PER_ROUND
from omnivla_vision.bench.work import operations
from omnivla_vision.cli import main
from omnivla_vision.engine import eager, onednn
from omnivla_vision.engine.bundle import MANIFEST, MANIFEST_SUM
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import get_preset
from test.presets import small_is_shallow

MAIN = "import sys; from omnivla_vision.cli import main; sys.exit(main(sys.argv[1:]))"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, arguments)], capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.slow
def test_build_then_verify_then_a_flipped_byte(store: Path) -> None:
    build = ("build", "random", "--preset", "small", "--engine", "eager", "--precision", "float32")
    first = run(*build, "--bundle-dir", store)
    assert first.returncode == 0, first.stderr
    assert f"eager in float32 is ready in {store}" in first.stdout
    (bundle,) = store.glob("small-eager-float32-*")
    verified = run("verify", bundle)
    assert verified.returncode == 0, verified.stderr
    assert "whole, and of this machine; eager in float32" in verified.stdout
    assert "siglip: token cosine min 1.0000000" in verified.stdout
    assert verified.stdout.count("limits: token cosine min") == 2
    assert verified.stdout.count("plain torch in bfloat16: token cosine min 0.99") == 2
    with (bundle / "weights.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    refused = run("verify", bundle)
    assert refused.returncode == 1
    assert "weights.safetensors: found" in refused.stderr
    assert refused.stdout == ""


def test_an_engine_that_cannot_run_is_an_error_with_its_reason(store: Path) -> None:
    result = run("build", "random", "--preset", "small", "--engine", "tensorrt", "--bundle-dir", store)
    assert result.returncode == 1
    assert "engine tensorrt cannot run in float32 here: it needs" in result.stderr


def test_verify_takes_a_store_and_picks_by_weights(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_is_shallow():
        for weights in ("plain", "realistic"):
            build = ("build", "random", "--preset", "small", "--engine", "eager", "--precision", "float32")
            assert main([*build, "--weights", weights, "--bundle-dir", str(store)]) == 0
    capsys.readouterr()
    assert main(["verify", "--bundle-dir", str(store)]) == 0
    assert "2 bundles, 0 refused" in capsys.readouterr().out
    assert main(["verify", "--weights", "realistic", "--bundle-dir", str(store)]) == 0
    assert capsys.readouterr().out.count("whole, and of this machine") == 1
    assert main(["verify", "--bundle-dir", str(store / "nothing")]) == 1
    assert f"found no engine in {store / 'nothing'}; build one" in capsys.readouterr().err


def test_a_bundle_of_before_is_stale_with_a_sentence(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_is_shallow():
        assert main(["build", "random", "--preset", "small", "--engine", "eager", "--bundle-dir", str(store)]) == 0
    (bundle,) = store.glob("small-eager-*")
    manifest = json.loads((bundle / MANIFEST).read_text())
    content = json.dumps({**manifest, "format": 1}).encode()
    (bundle / MANIFEST).write_bytes(content)
    (bundle / MANIFEST_SUM).write_text(hashlib.sha256(content).hexdigest())
    assert main(["verify", str(bundle)]) == 1
    assert "found a bundle of format 1, built by another version of omnivla_vision" in capsys.readouterr().err


def test_what_was_refused_is_listed_and_retried(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no kernel image\n[for sm_87]")

    def command(*words: object) -> tuple[int, str]:
        code = main([*map(str, words), "--bundle-dir", str(store)])
        out, err = capsys.readouterr()
        return code, " ".join((out + err).split())

    named = ("build", "random", "--preset", "small", "--engine", "eager", "--precision", "float32")
    with small_is_shallow():
        with monkeypatch.context() as patch:
            patch.setattr(eager, "build", broken)
            assert command(*named)[0] == 1
        code, told = command(*named)
        assert code == 1
        assert "omnivla-vision: engine eager in float32 could not be built: RuntimeError: no kernel image" in told
        assert "; retry with omnivla-vision build --retry)" in told
        code, listed = command("build", "--list")
        assert code == 0
        assert "1 bundles, 1 refused" in listed  # the reference's tokens are one
        assert "small-eager-float32-" in listed
        assert "RuntimeError: no kernel image [for sm_87]" in listed
        doctor = run("doctor", "--bundle-dir", store)
        found = doctor.stdout.partition("refused engines")[2]
        assert doctor.returncode == 0, doctor.stderr
        assert "small eager float32" in found
        assert "--retry" in found
        assert command(*named, "--retry")[0] == 0
        code, listed = command("build", "--list")
        assert "2 bundles, 0 refused" in listed
        assert "dinov2 " in listed
    (bundle,) = store.glob("small-eager-*")
    (bundle / "manifest.json").write_text("{}")
    assert "cannot be used: " in command("build", "--list")[1]


@pytest.mark.slow
def test_bench_measures_and_writes_what_it_measured(store: Path, tmp_path: Path) -> None:
    report_file, chart = tmp_path / "bench.json", tmp_path / "bench.png"
    engine = "eager" if onednn.missing("float32") else "onednn"
    result = run(
        "bench", "--preset", "small", "--depth", 3, "--engine", engine, "--precision", "float32", "--rounds", 2,
        "--bundle-dir", store, "--json", report_file, "--chart", chart,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(report_file.read_text())
    assert [(row["engine"], row["precision"], row["images"]) for row in report["results"]] == [
        (engine, "float32", 1),
        (engine, "float32", 2),
    ]
    for row in report["results"]:
        assert set(row) == {
            "engine", "precision", "images", "latency_ms", "fps", "speedup_vs_reference", "fraction_of_roof", "rss_mb",
            "load_s", "build_s", "parity", "plain_bfloat16",
        }  # fmt: skip
        assert row["latency_ms"]["count"] == 2 * TICKS_PER_ROUND
        assert row["fps"] == pytest.approx(1000 / row["latency_ms"]["median"], rel=0.01)
        assert row["parity"]["siglip"]["relative_l2"] < 1e-5
    single = report["results"][0]["latency_ms"]["median"]
    work = report["gflop_per_image"] * 1e9
    if report["roof"]["float32"]:
        expected = work / (single / 1e3) / (report["roof"]["float32"] * 1e9)
        assert report["results"][0]["fraction_of_roof"] == pytest.approx(expected, rel=0.02)
    if report["reference"]:
        assert report["reference"]["latency_ms"]["count"] == 4
    assert report["machine"]["torch"]
    with Image.open(chart) as picture:
        assert picture.format == "PNG"


def test_operations_are_those_that_are_executed() -> None:
    """As torch counts them while the network runs."""
    preset = get_preset("dinosiglip-224")
    with torch.device("meta"):
        backbone, stack = Backbone(preset), torch.empty(1, 6, 224, 224)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        backbone(stack)
    assert operations(preset) == counter.get_total_flops()


def test_doctor_reports_and_finds_nothing_broken_here() -> None:
    result = run("doctor")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "onednn bfloat16" in result.stdout


@pytest.mark.parametrize(
    ("versions", "distro", "name"),
    [
        ({"numpy": "2.1.0", "cv_bridge": "present"}, "humble", "NumPy 2 with cv_bridge"),
        ({"numpy": "2.1.0", "torch": "2.2.0"}, "", "NumPy 2 with torch before 2.3"),
        ({"torch-tensorrt": "2.8.0"}, "", "torch-tensorrt 2.8.0 with torch 2.13.0"),
        ({"onnxruntime": "1.20", "onnxruntime-gpu": "1.20"}, "", "onnxruntime beside onnxruntime-gpu"),
    ],
)
def test_doctor_knows_what_breaks(
    versions: dict[str, str], distro: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", distro)
    healthy = dict.fromkeys(doctor.PACKAGES, "") | {"numpy": "1.26.4", "torch": "2.13.0"}
    assert not any(finding.broken for finding in doctor._combinations(healthy))
    found = [finding for finding in doctor._combinations(healthy | versions) if finding.broken]
    assert name in [finding.name for finding in found]
    assert all(finding.advice for finding in found)
