"""`--pool`, and what the commands show of outputs."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from omnivla_vision.cli import main, replay
from omnivla_vision.cli.options import encoder_options, node_parameters
from omnivla_vision.engine import eager
from omnivla_vision.network.outputs import Output, get_pooling
from omnivla_vision.network.presets import PRESETS
from omnivla_vision.tokens.files import TokenFile, read_token_file
from test.checkpoint.writers import make_model, write_native
from test.presets import shallow

SEVERAL = (Output("fine", get_pooling("8x8"), "present"), Output("coarse", get_pooling("2x2")))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two pictures. `small` is shallow, and so is `several`, which prescribes its outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for number, name in enumerate(("a.png", "b.png")):
        cv2.imwrite(name, np.random.default_rng(number).integers(0, 255, (40, 50, 3), np.uint8))
    monkeypatch.setitem(PRESETS, "small", shallow("small"))
    monkeypatch.setitem(PRESETS, "several", replace(shallow("small"), name="several", outputs=SEVERAL))
    return tmp_path


def encode(*arguments: str) -> TokenFile:
    assert main(["encode", "--image=a.png", "--goal=b.png", "--out=t", *arguments]) == 0
    return read_token_file(Path("t"))


def row(table: str, name: str) -> list[str]:
    """A table's cells in the row of that name."""
    rows = ([cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines())
    return next(cells for cells in rows if cells and cells[0] == name)


def test_a_pooling_of_the_users(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, pooled = encode("--preset=small"), encode("--preset=small", "--pool=8x8", "--dtype=float16")
    shown = capsys.readouterr().out
    assert row(shown, "tokens") == ["tokens", "none", "current, goal", "16x16", "[1, 512, 1152]", "2,359,296"]
    assert "t: float16\n" in shown
    assert row(shown.partition("t: float16")[2], "tokens")[1:] == [
        *("8x8", "current, goal", "8x8", "[1, 128, 1152]", "294,912"),
    ]
    assert pooled.tokens.shape == (1, 128, 1152)
    patches = whole.tokens.view(2, 8, 2, 8, 2, 1152).mean(dim=(2, 4)).view(1, 128, 1152)
    np.testing.assert_allclose(pooled.tokens, patches, rtol=2e-3, atol=1e-3)  # float16
    assert pooled.preprocessing_id == whole.preprocessing_id


def test_the_outputs_of_a_preset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = encode("--preset=several")
    assert {name: tuple(t.shape) for name, t in found.tensors.items()} == {
        "fine": (2, 64, 1152),
        "coarse": (2, 4, 1152),
    }
    shown = capsys.readouterr().out
    assert row(shown, "fine") == ["fine", "8x8", "current, goal", "8x8", "[1, 128, 1152]", "589,824"]
    assert row(shown, "coarse") == ["coarse", "2x2", "current, goal", "2x2", "[1, 8, 1152]", "36,864"]


def test_of_many_past_frames_the_first_and_the_last_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encode("--preset=small", "--history-frames=31")
    named = "t-1f, t-2f, …, t-31f (31)"
    assert row(capsys.readouterr().out, "history") == ["history", "2x2", named, "2x2", "[1, 124, 1152]", "571,392"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset=small", "--pool=8"), "found pooling '8'; expected none, ROWSxCOLUMNS for an average such as 8x8"),
        (("--preset=small", "--pool=17x8"), "found pooling 17x8 of 16x16 patches; expected no more rows or columns"),
        (("--preset=small", "--pool=shuffle:3"), "found pooling shuffle:3 of 16x16 patches"),
        (("--preset=small", "--pool=class"), "preset small: found output tokens of class tokens; expected an enc"),
        (("--preset=small", "--pool=shuffle:2", "--space=projected"), "pooled shuffle:2, in projected space"),
        (("--preset=several", "--pool=4x4"), "since its outputs are prescribed: fine 8x8, coarse 2x2; leave it out"),
    ],
)
def test_what_is_refused_before_an_engine_starts(
    folder: Path,
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delattr(eager.EagerEngine, "__init__")
    assert main(["encode", "--image=a.png", "--out=t", *arguments]) != 0
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("t").exists()


def test_a_node_is_given_the_same() -> None:
    parser = argparse.ArgumentParser()
    replay.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["replay", "bag", "--pool=4x4"])
    assert node_parameters(arguments)["output.pool"] == "4x4" == encoder_options(arguments).output_pool


def test_inspect_shows_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_native(folder / "checkpoint", make_model(PRESETS["several"]))
    arguments = ["inspect", str(checkpoint), "--preset=several"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  fine          64 x 1152 per present image, grid 8x8, pooling 8x8" in lines
    assert "  coarse        4 x 1152 per present or past image, grid 2x2, pooling 2x2" in lines
    assert main([*arguments, "--json"]) == 0
    outputs = json.loads(capsys.readouterr().out)["outputs"]
    assert [(output["name"], output["grid"], output["images"]) for output in outputs] == [
        ("fine", [8, 8], "present"),
        ("coarse", [2, 2], "all"),
    ]
    assert main(["inspect", str(checkpoint), "--preset=small"]) == 0
    assert "pooling" not in capsys.readouterr().out
