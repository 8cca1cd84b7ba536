"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from safetensors import safe_open

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.images.files import read_rgb
from omnivla_vision.resources import resource_path

PROGRAM = str(Path(sys.executable).parent / "omnivla-vision")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False)


def test_demo(tmp_path: Path) -> None:
    report_file = tmp_path / "report.json"
    result = run("demo", "--preset", "small", "--seconds", 3, "--json", report_file, "--out", tmp_path / "demo[1]")
    assert report_file.exists(), result.stdout + result.stderr
    report = json.loads(report_file.read_text())
    # On a machine that has no time for them the middleware loses best-effort frames; then the command says so.
    assert result.returncode == int(report["frames_lost"] > 0), result.stdout + result.stderr
    assert report["frames_sent"] == 30
    assert report["tokens_received"] > 0
    assert report["frames_sent"] == report["tokens_received"] + report["frames_superseded"] + report["frames_lost"]
    assert report["token_shape"] == [1, 512, 1152]
    assert report["outputs"] == {"tokens": [2, 256, 1152]}
    assert report["dtype"] == "float16"
    assert report["goal_encodes"] == 1
    assert report["weights"] == "random"
    assert report["rmw"].startswith("rmw_")
    assert set(report["latency_ms"]) == set(report["encode_ms"]) == {"p50", "p95", "p99"}
    assert "RANDOM WEIGHTS" in result.stdout
    assert "demo[1]/tokens.png:thelastframe" in "".join(result.stdout.split())
    picture = cv2.imread(str(tmp_path / "demo[1]" / "tokens.png"))
    assert picture.shape[:2] == (252 + 336 + 2 * 28, 2 * 344), "the frame and the goal, above their tokens"


def test_encode_gives_the_pipelines_tokens(tmp_path: Path, reference: VisionEncoder) -> None:
    image, goal = resource_path("resource/parity/room.png"), resource_path("resource/parity/stream.png")
    out = tmp_path / "t.safetensors"
    result = run("encode", "--image", image, "--goal", goal, "--preset", "small", "--seed", 5, "--out", out)
    assert result.returncode == 0, result.stderr
    assert "RANDOM WEIGHTS" in result.stderr
    with safe_open(out, "pt") as file:
        tokens, metadata = file.get_tensor("tokens"), file.metadata()
    reference.set_goal(Goal(rgb=read_rgb(goal)))
    expected = reference.encode(read_rgb(image))
    assert tokens.shape == (1, 512, 1152)
    assert torch.equal(tokens[0], expected.tokens)
    assert metadata["preset"] == "small"
    assert metadata["fingerprint"] == "weights: random, seed 5, small"
    assert metadata["preprocessing_id"] == expected.provenance.preprocessing_id


@pytest.mark.parametrize(
    ("image", "match"),
    [("missing.png", "found no file"), ("broken.png", "do not decode; expected a JPEG")],
)
def test_errors_are_one_sentence_and_exit_code_1(tmp_path: Path, image: str, match: str) -> None:
    (tmp_path / "broken.png").write_bytes(b"not an image")
    result = run("encode", "--image", tmp_path / image, "--preset", "small", "--out", tmp_path / "t.safetensors")
    assert result.returncode == 1
    assert match in result.stderr
    assert "Traceback" not in result.stderr


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert "demo" in result.stdout
    assert "encode" in result.stdout
