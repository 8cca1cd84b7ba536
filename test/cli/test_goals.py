"""`omnivla-vision goals`: a route from a drive, its sheet, and its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from omnivla_vision.cli import main
from omnivla_vision.goal_sequence.contact_sheet import GAP, HEIGHT, STRIP, WIDTH
from omnivla_vision.goal_sequence.kept import KeptSequence
from omnivla_vision.goal_sequence.source import open_source
from omnivla_vision.images.files import read_rgb
from omnivla_vision.resources import resource_path
from test.presets import small_is_shallow
from test.replay import bags

DRIVE = Path(resource_path("resource/sample_drive"))
BAG_S = "3.0"  # of it


@pytest.fixture(autouse=True)
def shallow() -> Iterator[None]:
    with small_is_shallow():
        yield


def run(*command: object) -> int:
    return main(["goals", *map(str, command)])


def test_a_route_from_a_drive_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    route = tmp_path / "route"
    assert run("make", DRIVE, "--every", 1, "--start", 2, "--duration", BAG_S, "--out", route) == 0
    assert capsys.readouterr().out == f"{route}: 3 goals, shown in {route}.png\n"
    # No file but numbers: visualnav-transformer's navigate.py takes each for a goal.
    assert {file.name for file in route.iterdir()} == {"0.png", "1.png", "2.png"}
    expected = [picture.rgb for picture in open_source(DRIVE, spacing_s=1.0).pictures()][2:5]
    written = [picture.rgb for picture in open_source(route, spacing_s=1.0).pictures()]
    assert np.array_equal(written, expected)
    assert read_rgb(tmp_path / "route.png").shape == (HEIGHT + STRIP + 2 * GAP, 3 * (WIDTH + GAP) + GAP, 3)

    assert run("show", route, "--out", tmp_path / "shown.png") == 0
    assert read_rgb(tmp_path / "shown.png").std() > 20
    assert run("encode", route, "--preset", "small", "--engine", "eager", "--out", tmp_path / "kept") == 0
    assert [node.name for node in KeptSequence(tmp_path / "kept").nodes] == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize("action", ["make", "encode"])
def test_a_folder_with_something_in_it_is_left_alone(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0.png").write_text("mine")
    assert run(action, DRIVE, "--out", tmp_path) == 1
    assert "found something of that name" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["0.png"]


def test_a_bad_image_in_a_drive_leaves_nothing_half_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = [bags.raw(bags.picture(index), index / 2) for index in range(6)]
    messages[4] = replace(messages[4], data=messages[4].data[:-9])
    bags.write(tmp_path / "bag", messages)
    assert run("make", tmp_path / "bag", "--every", 1, "--out", tmp_path / "route") == 1
    assert "expected every image that the goal sequence takes of" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["bag"]
    # The bad one is between the images of another spacing.
    assert run("make", tmp_path / "bag", "--every", 1.5, "--out", tmp_path / "route") == 0
