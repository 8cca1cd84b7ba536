"""A folder's name is shown as it is, whatever it looks like to rich."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from omnivla_vision.cli import main
from omnivla_vision.resources import resource_path


def test_where_the_report_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    out = "runs[b] of :camera:"
    drive = str(resource_path("resource/sample_drive"))
    options = ["--preset", "small", "--engine", "eager", "--duration", "0.25", "--no-tokens", "--out", out]
    assert main(["replay", drive, *options]) == 0
    assert f"{out}/report.html: " in capsys.readouterr().out
