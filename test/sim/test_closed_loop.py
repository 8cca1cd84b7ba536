"""Simulator, real node and controller over DDS: the loop closes, and survives what people do to simulators."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rosbags.highlevel import AnyReader

pytest.importorskip("rclpy")

from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.ros.drive.probe import Probe
from test.ros.conftest import ros_environment  # noqa: F401 - a domain of its own for every test worker

pytestmark = pytest.mark.ros
PROGRAM = str(Path(sys.executable).parent / "omnivla-vision")
# Far more than is needed: so long that only a loop that does not close runs out of it.
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, corridor: Any) -> Iterator[NodeProcess]:
    from closed_loop import start_node

    with start_node(tmp_path_factory.mktemp("sim") / "log.txt", {"preset": "small"}) as node:
        yield node
        node.check()


@pytest.fixture(scope="module")
def loop(node: NodeProcess, corridor: Any) -> Iterator[Any]:
    from closed_loop import NAMESPACE, Loop, wait_for_node

    with Probe(namespace=NAMESPACE) as probe:
        loop = Loop(corridor, probe)
        wait_for_node(loop, probe, node)
        yield loop


def spin(loop: Any, until: Callable[[], bool], what: str) -> None:
    """Let the simulation run until a condition holds."""
    begun = loop.simulator.now_ns
    while not until():
        assert loop.simulator.now_ns - begun < PATIENCE_S * 1e9, f"{what} did not happen"
        loop.spin_once()


def test_the_loop_closes_the_distance(loop: Any, corridor: Any) -> None:
    start = corridor.distance
    assert start == pytest.approx(6, abs=0.1)
    spin(loop, lambda: corridor.distance < start / 2, "half the way")
    stamps = loop.stamps_ns
    assert len(stamps) > 3
    assert stamps == sorted(set(stamps)), "every frame's tokens once, in order"
    assert all(stamp % 100_000_000 == 0 for stamp in stamps), "the stamps of the camera's frames, every 100 ms"
    assert 0 <= stamps[-1] <= loop.simulator.now_ns, "in simulated time"
    assert loop.weights == "random"


def tokens_flow(loop: Any, count: int = 2) -> None:
    """New frames turn into tokens."""
    since, seen = loop.simulator.now_ns, len(loop.stamps_ns)
    spin(loop, lambda: sum(stamp >= since for stamp in loop.stamps_ns[seen:]) >= count, "tokens of new frames")


def test_a_pause_and_going_on(loop: Any, node: NodeProcess) -> None:
    loop.simulator.paused = True
    at = loop.simulator.now_ns
    for _ in range(100):
        loop.spin_once()
    assert loop.simulator.now_ns == at
    node.check()
    loop.simulator.paused = False
    tokens_flow(loop)


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_slow_and_fast(loop: Any, rate: float) -> None:
    loop.simulator.rate = rate
    tokens_flow(loop, 3)
    loop.simulator.rate = 1.0


def test_a_reset_sets_the_clock_back_and_tokens_go_on(loop: Any, corridor: Any, node: NodeProcess) -> None:
    before = loop.simulator.now_ns
    loop.simulator.reset()
    assert loop.simulator.now_ns == 0
    assert corridor.distance == pytest.approx(6, abs=0.1)
    seen = len(loop.stamps_ns)
    spin(loop, lambda: sum(stamp < before for stamp in loop.stamps_ns[seen:]) >= 3, "tokens after the reset")
    assert loop.stamps_ns[-1] < before
    node.check()


def test_the_command_records_a_bag_that_replays(tmp_path: Path, corridor: Any) -> None:
    bag = tmp_path / "run.mcap"
    command = [PROGRAM, "sim", "--headless", "--seconds", "3", "--record", str(bag), "--out", str(tmp_path), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert result.returncode == 0, result.stderr
    assert "not a policy" in result.stderr
    outcome = json.loads(result.stdout)
    assert outcome["tokens"] > 0
    assert outcome["simulated_s"] >= 3
    with AnyReader([bag]) as reader:
        topics = {connection.topic: connection.msgcount for connection in reader.connections}
    assert topics["/corridor/image_raw"] == topics["/corridor/camera_info"] == outcome["frames"]
    assert topics["/corridor/vision_node/tokens"] == outcome["tokens"]
    assert topics["/corridor/goal_image"] == 1
    assert topics["/clock"] > 300
    assert topics["/corridor/cmd_vel"] > 0
    replay = [
        PROGRAM,
        "replay",
        str(bag),
        "--preset",
        "small",
        "--duration",
        "1",
        "--no-tokens",
        "--out",
        str(tmp_path),
    ]
    result = subprocess.run(replay, capture_output=True, text=True, check=False, timeout=280)
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["camera_topic"] == "/corridor/image_raw"
    assert metrics["goal_cosine"]["dinov2"]["last"] > 0


def test_without_a_screen_the_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from omnivla_vision.cli import main

    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["sim"]) == 1
