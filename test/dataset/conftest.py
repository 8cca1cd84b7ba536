"""Bags, and the command with an encoder that takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnivla_vision.network.presets import PRESETS
from test.replay import bags
from test.replay.conftest import TINY


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


def write_drive(path: Path, frames: int, *, first: int = 0, start_s: float = 0.0) -> Path:
    """A bag folder of a camera at 10 Hz; pictures are numbered from `first` on."""
    messages = [bags.raw(bags.picture(first + i), start_s + i / 10) for i in range(frames)]
    return bags.write(path, messages)
