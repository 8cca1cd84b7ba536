"""SIGTERM and SIGINT end the node although what it is at would take minutes, and nothing half-made stays.

That the signal did it, and not the work's own end, shows in what the work would take: ten minutes, or for ever.
"""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from test.processes import Family, wait_for
from test.ros.conftest import TIMEOUT_S, Setup, frame, running

TEN_MINUTES_MS = 600_000.0
DEAF_NODE = str(Path(__file__).with_name("deaf_node.py"))
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def end(setup: Setup, number: int) -> str:
    """Send one signal and wait for the end; the log."""
    setup.node.send(number)
    assert setup.node._process.wait(TIMEOUT_S) == 0, setup.node.log_tail()
    return setup.node.log.read_text()


@BOTH
def test_while_the_main_thread_is_inside_a_library(tmp_path: Path, number: int) -> None:
    with running(tmp_path / "log", connect=False, stays=False, program=(DEAF_NODE,)) as setup:
        setup.wait_for(lambda: "entering C" in setup.node.log.read_text(), "the call")
        assert "Traceback" not in end(setup, number)


@BOTH
@pytest.mark.parametrize("finalizing", [False, True], ids=["encoding", "finalizing"])
def test_while_a_frame_is_encoded(tmp_path: Path, number: int, finalizing: bool) -> None:
    with running(tmp_path / "log", stays=False, encode_ms=TEN_MINUTES_MS) as setup:
        setup.probe.camera.publish(frame(np.zeros((48, 64, 3), np.uint8)))
        setup.wait_for(lambda: setup.counts().get("in_flight") == 1, "the frame to be taken")
        if finalizing:
            client = setup.probe.node.create_client(ChangeState, "vision_node/change_state")
            setup.wait_for(client.service_is_ready, "the service")
            shutdown = Transition(id=Transition.TRANSITION_ACTIVE_SHUTDOWN)
            client.call_async(ChangeState.Request(transition=shutdown))  # answered when the frame is done: never
            setup.wait_for_state("shuttingdown")
        log = end(setup, number)
    assert "Traceback" not in log
    assert not setup.probe.tokens


@BOTH
@pytest.mark.parametrize("state", ["unconfigured", "inactive"])
def test_while_nothing_happens(tmp_path: Path, number: int, state: str) -> None:
    with running(tmp_path / "log", connect=False, stays=False, encode_ms=0, autostart=False) as setup:
        setup.wait_for_state("unconfigured")
        if state == "inactive":
            assert setup.control.change_state(Transition.TRANSITION_CONFIGURE)
            setup.wait_for_state("inactive")
        assert "Traceback" not in end(setup, number)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["inductor", "onnxruntime", "onednn"])
def test_while_an_engine_is_built(tmp_path: Path, engine: str) -> None:
    """Its compiler, where it has one, ends too, and what is left is no bundle."""
    if engine != "onednn":
        pytest.importorskip("onnxscript" if engine == "onnxruntime" else "torch")
    store, family = tmp_path / "store", Family()
    given = {"engine": engine, "precision": "float32", "bundle_dir": str(store), "environment": family.environment}
    with running(tmp_path / "log", connect=False, stays=False, **given) as setup:
        wait_for(lambda: setup.node.check() or any(store.glob(f".unfinished-small-{engine}-*")), "the build")
        if engine == "inductor":
            wait_for(lambda: setup.node.check() or family.runs("cc1plus"), "the compiler", 2 * TIMEOUT_S)
        log = end(setup, signal.SIGTERM)
    assert "Traceback" not in log
    assert "small ready in" not in log
    assert not list(store.glob(f"small-{engine}-*"))
    family.wait_for_end()
