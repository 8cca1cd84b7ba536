"""`omnivla-vision dataset --ray` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from test.dataset.conftest import write_drive
from test.processes import Family

pytest.importorskip("torch")
pytest.importorskip("lance")

COMMAND = ("-m", "omnivla_vision.cli")
WITHOUT_RAY = "import sys; sys.modules['ray'] = None; from omnivla_vision.cli import main; sys.exit(main(sys.argv[1:]))"


def run(*arguments: object, program: tuple[str, ...] = COMMAND, **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, *program, "dataset", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.mark.slow
def test_a_ray_of_this_machine_alone(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from omnivla_vision.dataset.store import open_dataset

    for i in range(2):
        write_drive(tmp_path / f"drives/{i}", 2, first=10 * i)
    options = (tmp_path / "drives", "--preset", "small", "--engine", "eager", "--threads", "1")
    family, home = Family(), tmp_path / "home"
    home.mkdir()
    here = run(*options, "--out", tmp_path / "here")
    there = run(
        *options,
        "--out",
        tmp_path / "there",
        "--ray",
        "--ray-actors",
        "1",
        **family.environment,
        HOME=str(home),
    )
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    assert there.stdout == here.stdout.replace(str(tmp_path / "here"), str(tmp_path / "there"))
    assert "ray" not in there.stderr.lower()
    assert "warn" not in there.stderr.lower()
    family.wait_for_end()
    assert list(home.iterdir()) == []
    tables = [open_dataset(str(tmp_path / name)).to_table() for name in ("here", "there")]
    assert tables[1].equals(tables[0])


def test_without_ray_a_sentence_says_how_to_install_it(tmp_path: Path) -> None:
    write_drive(tmp_path / "drive", 2)
    ran = run(tmp_path / "drive", "--out", tmp_path / "out", "--ray", program=("-c", WITHOUT_RAY))
    assert ran.returncode == 1
    assert "pip install 'omnivla-vision[dataset,ray]', or run without --ray" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_options_of_a_cluster_need_one(dataset: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dataset(write_drive(tmp_path / "drive", 2), "--num-gpus", "1") == 1
    assert "found --num-gpus without --ray" in capsys.readouterr().err


def test_a_bag_behind_ray_is_no_address(dataset: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        dataset("--ray", tmp_path)
    assert "or --ray behind the bags" in capsys.readouterr().err
