"""A program that cannot end by itself, with a child of its own and an orphan, ends all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from test.processes import TIMEOUT_S, Family, wait_for

PROGRAM = """
import ctypes, signal, subprocess, sys, time
from omnivla_vision.process import signals

signals.note(grace_s=float(sys.argv[2]), code=lambda number: 100 + number)
subprocess.Popen(["sleep", "600"])
subprocess.run(["sh", "-c", "sh -c 'sleep 601; true' & true"])
with signals.interruptible():
    try:
        print("ready", flush=True)
        HOW[sys.argv[1]]()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
sys.exit(3)
"""
HOW = """
def in_c():
    mutex, libc = ctypes.create_string_buffer(256), ctypes.CDLL(None)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)  # for ever, and no signal interrupts it

def swallow():
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

def sleep():
    time.sleep(600)

HOW = {"in_c": in_c, "swallow": swallow, "sleep": sleep}
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("how", ["in_c", "swallow", "sleep"])
def test_the_end_of_a_program_and_its_children(tmp_path: Path, how: str, number: signal.Signals) -> None:
    family, log = Family(), tmp_path / "log"
    grace_s = "600" if how == "sleep" else "0.1"  # an orderly end does not need it
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", HOW + PROGRAM, how, grace_s],
            env={**os.environ, **family.environment},
            stdout=output,
        )
    try:
        wait_for(lambda: "ready" in log.read_text(), "the program")
        wait_for(lambda: family.runs("sleep 600") and family.runs("sleep 601"), "its children")
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == (3 if how == "sleep" else 100 + number)
    finally:
        process.kill()
    family.wait_for_end()
    assert ("interrupted" in log.read_text()) == (how == "sleep")
