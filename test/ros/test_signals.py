"""SIGINT and SIGTERM, once and many times, in every state: the node ends with exit code 0 and without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from omnivla_vision.ros.drive.node_process import NODE, NodeProcess
from test.ros.conftest import TIMEOUT_S, frame, running
from test.ros.test_policy_stub import STUB

INT, TERM = signal.SIGINT, signal.SIGTERM
# At once: a launch file forwards what the terminal has sent already. Then, as a person leans on Ctrl-C: all the way to
# the end of the interpreter.
BURSTS = {"twice": [INT, INT], "both": [TERM, INT], "leaning on it": [INT] * 1000}


def stop(node: NodeProcess | subprocess.Popen[bytes], numbers: list[signal.Signals]) -> int:
    """Send signals, some milliseconds apart, until the process is gone; its exit code."""
    process = node if isinstance(node, subprocess.Popen) else node._process
    for count, number in enumerate(numbers):
        if process.poll() is not None:
            break
        process.send_signal(number)
        if count:
            time.sleep(0.003)
    return process.wait(TIMEOUT_S)


@pytest.mark.parametrize("numbers", BURSTS.values(), ids=BURSTS)
@pytest.mark.parametrize("moment", ["unconfigured", "configuring", "active", "encoding"])
def test_signals_in_every_state(tmp_path: Path, moment: str, numbers: list[signal.Signals]) -> None:
    state = "active" if moment == "encoding" else moment
    with running(
        tmp_path / "log",
        connect=state == "active",
        stays=False,
        autostart=moment != "unconfigured",
        encode_ms=300,
        load_ms=600_000.0 if moment == "configuring" else 0.0,  # nobody waits for it
    ) as setup:
        setup.wait_for_state(state)
        if moment == "encoding":
            setup.probe.camera.publish(frame(np.zeros((48, 64, 3), np.uint8)))
            setup.wait_for(lambda: setup.counts().get("in_flight") == 1 or setup.probe.tokens, "the frame to be taken")
        assert stop(setup.node, numbers) == 0, setup.node.log_tail()
    assert "Traceback" not in setup.node.log.read_text()


@pytest.mark.parametrize("module", ["numpy", "rclpy"])
@pytest.mark.parametrize("program", [NODE, (str(STUB),)], ids=["node", "policy_stub"])
def test_signals_while_modules_are_imported(tmp_path: Path, program: tuple[str, ...], module: str) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *program],
            # Python then says of each module that it has been imported.
            env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1", "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + TIMEOUT_S
    while not any(line.endswith(f" {module}") for line in log.read_text().splitlines()):
        assert process.poll() is None
        assert time.monotonic() < deadline
    assert stop(process, [INT, INT]) == 0
    assert "Traceback" not in log.read_text()


def test_the_policy_stub_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        stub = subprocess.Popen([sys.executable, str(STUB)], stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + TIMEOUT_S
    while "no tokens yet" not in log.read_text():
        assert stub.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert stop(stub, [INT] * 1000) == 0
    assert "Traceback" not in log.read_text()
