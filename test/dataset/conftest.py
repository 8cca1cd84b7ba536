"""Bags, and the command with an encoder that takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnivla_vision.network.presets import PRESETS
from test.dataset.messages import odometry, twist
from test.replay import bags
from test.replay.conftest import TINY

# Frames at 10 Hz, of which five are missing.
GAPPY_S = [i / 10 for i in range(20) if not 8 <= i < 13]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """A preset's name."""
    monkeypatch.setitem(PRESETS, TINY.name, TINY)
    return TINY.name


@pytest.fixture
def dataset(tiny: str, tmp_path: Path) -> Callable[..., int]:
    """Runs `omnivla-vision dataset` in this process, with the tiny preset; the exit code."""
    pytest.importorskip("torch")
    pytest.importorskip("lance")
    from omnivla_vision.cli import main

    def run(*arguments: object, out: Path | None = None) -> int:
        place = tmp_path / "tokens.lance" if out is None else out
        encoder = ["--preset", tiny, "--engine", "eager", "--seed", "1"]
        return main(["dataset", "--out", str(place), *encoder, *map(str, arguments)])

    return run


@pytest.fixture
def table(tmp_path: Path) -> Callable[[], Any]:
    """What is in the dataset, as a pyarrow table."""

    def read(out: Path | None = None) -> Any:
        from omnivla_vision.dataset.store import open_dataset

        return open_dataset(str(tmp_path / "tokens.lance" if out is None else out)).to_table()

    return read


@pytest.fixture
def gappy(tmp_path: Path, dataset: Callable[..., int]) -> Path:
    """A dataset of three: a bag with a gap, a frame that is cut off, one odometry at 0.55 s and a command before all;
    a bag of five frames; a file that is no bag.
    """
    folder = tmp_path / "bags"
    folder.mkdir()
    frames = [bags.raw(bags.picture(i), at_s) for i, at_s in enumerate(GAPPY_S)]
    whole = bags.raw(bags.picture(0), 1.95)
    cut = replace(whole, data=whole.data[:200])
    bags.write(folder / "a_gap", [*frames, odometry(1.0, 0.55), twist(0.5, -0.001), cut])
    write_drive(folder / "b_plain", 5, start_s=500.0)
    (folder / "c_broken.mcap").write_bytes(b"\x89MCAP0\r\nnothing")
    assert dataset(folder) == 1
    return tmp_path / "tokens.lance"


def write_drive(path: Path, frames: int, *, first: int = 0, start_s: float = 0.0) -> Path:
    """A bag folder of a camera at 10 Hz; pictures are numbered from `first` on."""
    messages = [bags.raw(bags.picture(first + i), start_s + i / 10) for i in range(frames)]
    return bags.write(path, messages)
