"""Text that is not the program's own is shown as it is: rich would read [brackets] as markup and :names: as emoji."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

pytest.importorskip("torch")

import omnivla_vision
from omnivla_vision import doctor
from omnivla_vision.cli import bench, build, main

TEXT = "pip install 'x[onnxruntime]' in /a[b]/[/c] :warning:"


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without the line breaks that a narrow terminal adds."""
    return " ".join(capsys.readouterr().out.split())


def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    for advice, broken in (("", False), (TEXT, False), (TEXT, True)):
        finding = doctor.Finding(section="machine", name=TEXT, value=TEXT, advice=advice, broken=broken)
        monkeypatch.setattr(doctor, "examine", lambda *_, finding=finding: [finding])
        assert main(["doctor"]) == int(broken)
        assert printed(capsys).count(TEXT) == (3 if advice else 2)


def test_bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "TABLE_WIDTH", 300)
    latency = {"median": 1.0, "p95": 1.0}
    row = dict.fromkeys(("precision", "images", "fps", "rss_mb", "load_s", "build_s"), 1)
    row |= {"engine": TEXT, "latency_ms": latency, "parity": {"siglip": {"cosine_mean": 1.0}}}
    row |= {"speedup_vs_reference": None, "fraction_of_roof": None}
    bench._show({
        "results": [row],
        "roof": {TEXT: 1.0},
        "gflop_per_image": 1,
        "weights": "plain",
        "reference": {"path": TEXT, "latency_ms": latency},
        "failures": [TEXT],
    })  # fmt: skip
    assert printed(capsys).count(TEXT) == 4


def test_a_step_of_build() -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=300, force_terminal=True, color_system=None)
    with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
        steps = build._Steps(progress, progress.add_task("starting"))
        for level in (logging.INFO, logging.WARNING):
            steps.emit(logging.LogRecord("engine", level, "", 0, f"{level}: {TEXT}", (), None))
    assert f"{logging.INFO}: {TEXT}" in shown.getvalue()
    assert f"{logging.WARNING}: {TEXT}" in shown.getvalue()


@pytest.mark.parametrize("module", ["cli/bench.py", "cli/build.py", "replay/run.py", "ros/drive/demo.py"])
def test_a_progress_bar_reads_no_markup(module: str) -> None:
    source = (Path(omnivla_vision.__file__).parent / module).read_text()
    columns = re.findall(r"TextColumn\(.*?\)", source)
    assert columns == ['TextColumn("{task.description}", markup=False)']
