"""SIGTERM and Ctrl-C end a command in the middle of its work: nothing half-written, no process left, its own exit code.

That the signal did it, and not the work's own end, shows in the exit code, and in the outputs that are not there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from omnivla_vision.resources import resource_path
from test.processes import TIMEOUT_S, Family, wait_for

DRIVE = resource_path("resource/sample_drive")
BUILD_TIMEOUT_S = 250.0
Interrupted = Callable[..., None]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def family() -> Family:
    return Family()


@pytest.fixture
def interrupted(tmp_path: Path, temporary: Path, family: Family) -> Iterator[Interrupted]:
    """Runs a command and sends it a signal when `begun()`."""
    processes = []

    def run(*arguments: object, begun: Callable[[], object], number: int = signal.SIGTERM) -> None:
        log = tmp_path / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "omnivla_vision.cli", *map(str, arguments)],
                env={**os.environ, **family.environment, "TMPDIR": str(temporary)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        processes.append(process)
        wait_for(lambda: begun() or process.poll() is not None, "the work to begin", BUILD_TIMEOUT_S)
        assert process.poll() is None, log.read_text()
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == 128 + number, log.read_text()
        assert "Traceback" not in log.read_text()
        family.wait_for_end()

    yield run
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_replay(tmp_path: Path, interrupted: Interrupted, number: int) -> None:
    out = tmp_path / "out"
    arguments = ("replay", DRIVE, "--preset", "small", "--engine", "eager", "--out", out)
    interrupted(*arguments, begun=lambda: any(out.glob(".tokens-*")), number=number)
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_bench(tmp_path: Path, interrupted: Interrupted, family: Family) -> None:
    file = tmp_path / "report.json"
    one = ("--depth", "1", "--precision", "float32", "--images", "1", "--no-reference")
    arguments = ("bench", "--preset", "small", "--engine", "eager", *one, "--rounds", "100000", "--json", file)
    store = tmp_path / "store"
    interrupted(*arguments, "--bundle-dir", store, begun=lambda: any(store.glob("small-eager-*/weights.safetensors")))
    assert not file.exists()
    assert not list(store.glob(".unfinished-*"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["build", "encode"])
def test_while_a_compiler_runs(
    tmp_path: Path, interrupted: Interrupted, family: Family, temporary: Path, command: str
) -> None:
    store, out = tmp_path / "store", tmp_path / "tokens.safetensors"
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.zeros((48, 64, 3), np.uint8))
    given = ("random",) if command == "build" else ("--image", image, "--out", out)
    engine = ("--preset", "small", "--engine", "inductor", "--precision", "float32", "--bundle-dir", store)
    interrupted(command, *given, *engine, begun=lambda: family.runs("cc1plus"))
    assert not out.exists()
    # What had to be left is gone after the next build, of whatever engine.
    assert (
        subprocess.run(
            [
                *(sys.executable, "-m", "omnivla_vision.cli", "build", "random", "--preset", "small"),
                *("--engine", "eager", "--precision", "float32", "--bundle-dir", store),
            ],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    assert not list(store.glob(".unfinished-*"))
    assert not list(store.glob("small-inductor-*"))
    assert not list(temporary.glob("omnivla_vision-*"))
