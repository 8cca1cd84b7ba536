"""`omnivla-vision dataset info` on a terminal, and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("lance")

import lance
import pyarrow as pa

from test.dataset.random_walks import DESCRIPTION, random_walks
from test.replay import bags


def run(*arguments: object) -> int:
    from omnivla_vision.cli import main

    return main(["dataset", "info", *map(str, arguments)])


def test_json_has_everything(gappy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(gappy, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 20
    assert told["description"]["weights"] == "random"
    assert [episode["frames"] for episode in told["episodes"]] == [{bags.CAMERA: 15}, {bags.CAMERA: 5}]
    assert told["episodes"][0]["cameras"][0]["gaps"][0]["length_s"] == pytest.approx(0.6)
    assert [topic["kind"] for topic in told["topics"]] == ["geometry_msgs/msg/Twist", "nav_msgs/msg/Odometry"]


@pytest.mark.parametrize("width", [80, 120, None])
def test_tables_fit(
    gappy: Path, width: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if width:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(gappy) == 0
    told = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, told.splitlines())) <= (width or 160)
    assert "RANDOM WEIGHTS" in told
    for text in (
        "2 episodes",
        "20 frames",
        "1 recording could not be used",
        "nav_msgs",
        "1, to 0.6 s",
        "cannot be read",
    ):
        assert text in " ".join(told.split()), text


def test_many_episodes_are_not_all_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = random_walks(tmp_path / "d.lance", [2] * 23, names=[f"[bold]{i}" for i in range(23)])
    assert run(path) == 0
    told = capsys.readouterr().out
    assert "[bold]19" in told, "brackets are no markup"
    assert "[bold]20" not in told
    assert "3 more episodes" in told
    assert "RANDOM" not in told


@pytest.mark.parametrize("what", ["nothing", "folder", "other"])
def test_what_is_no_dataset_is_refused(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "place"
    if what == "folder":
        place.mkdir()
    if what == "other":
        lance.write_dataset(pa.table({"a": [1]}), str(place))
    assert run(place) == 1
    told = capsys.readouterr()
    assert "expected" in told.err
    assert told.out == ""
    assert not place.is_dir() or what != "nothing"


def test_a_later_format_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = random_walks(tmp_path / "d.lance", [1], description=DESCRIPTION)
    lance.dataset(str(path)).update_schema_metadata({"omnivla_vision.format": "99"})
    assert run(path) == 1
    assert "format 99" in capsys.readouterr().err
