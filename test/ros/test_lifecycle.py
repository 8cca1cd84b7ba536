"""Transitions, valid and not, as a lifecycle manager asks for them."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
import yaml
from numpy.typing import NDArray

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import content_id
from omnivla_vision.resources import resource_path
from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.ros.lifecycle import GuardedLifecycleNode
from omnivla_vision.tokens.packing import pack, unpack
from test.ros.conftest import STAMP_NS, Setup, encode_one, frame, running
from test.ros.control import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE

SHUTDOWN = {"unconfigured": 5, "inactive": 6, "active": 7}
# From, by which transition, to.
VALID = {
    ("unconfigured", CONFIGURE): "inactive",
    ("inactive", ACTIVATE): "active",
    ("active", DEACTIVATE): "inactive",
    ("inactive", CLEANUP): "unconfigured",
}


def resident_mb(node: NodeProcess) -> float:
    """The node's own part of its resident set: the system loads and drops its libraries' code as it likes."""
    fields = dict(line.split(":") for line in Path(f"/proc/{node.pid}/status").read_text().splitlines())
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem", "VmSwap")) / 2**10


def test_a_lifecycle_managers_round(
    tmp_path: Path, photographs: list[NDArray[np.uint8]], reference: VisionEncoder
) -> None:
    """configure, activate, deactivate, activate again, cleanup, and all once more."""
    reference.set_goal(None)
    expected = unpack(pack(reference.encode(photographs[0]).tokens, "float16"))
    with running(tmp_path / "log", connect=False, autostart=False, seed=5) as setup:
        control, probe = setup.control, setup.probe
        setup.wait_for_state("unconfigured")
        assert probe.node.count_subscribers("/robot/image_raw") == 0
        empty = resident_mb(setup.node)
        for lap in (1, 2):
            assert control.change_state(CONFIGURE)
            full = resident_mb(setup.node)
            for number in (10 * lap, 10 * lap + 1):
                assert control.change_state(ACTIVATE)
                setup.wait_for_topics()
                message = encode_one(probe, frame(photographs[0], number))
                assert message.sequence == 0  # counts from the activation
                assert np.array_equal(unpack(message), expected)
                assert control.change_state(DEACTIVATE)
                setup.wait_for_closed_topics()
                probe.camera.publish(frame(photographs[0], 99))
            assert control.change_state(CLEANUP)
            # The small preset's weights are 412 MB in float32.
            assert full - resident_mb(setup.node) > 350
            assert resident_mb(setup.node) < empty + 60  # what allocators and DDS keep
        time.sleep(1.2)
        assert len(probe.tokens) == 4
        setup.wait_for(lambda: set(setup.states) >= {"unconfigured", "inactive", "active"}, "every state's report")


@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active"])
def test_shutdown_from_any_state(tmp_path: Path, state: str) -> None:
    with running(tmp_path / "log", connect=False, stays=False, autostart=False, encode_ms=0) as setup:
        setup.wait_for_state("unconfigured")
        for transition in {"unconfigured": (), "inactive": (CONFIGURE,), "active": (CONFIGURE, ACTIVATE)}[state]:
            assert setup.control.change_state(transition)
        assert setup.control.change_state(SHUTDOWN[state])
        assert setup.control.state == "finalized"
        assert not setup.control.change_state(CONFIGURE)
        assert setup.node.stop() == 0
    assert "Traceback" not in setup.node.log.read_text()


def test_200_random_transitions(tmp_path: Path) -> None:
    """Valid and invalid ones, by id and by label; the model of the state machine is this test's own."""
    rng = random.Random(1)
    labels = {CONFIGURE: "configure", CLEANUP: "cleanup", ACTIVATE: "activate", DEACTIVATE: "deactivate"}
    with running(tmp_path / "log", connect=False, autostart=False, encode_ms=0) as setup:
        setup.wait_for_state("unconfigured")
        state, memory, refused = "unconfigured", [], 0
        for number in range(200):
            transition = rng.choice([*labels, *labels, 0, 8, 99, 255])
            label = rng.choice(["", labels.get(transition, "fly")])
            reached = VALID.get((state, transition))
            assert setup.control.change_state(transition, label) == (reached is not None), (number, state, transition)
            refused += reached is None
            state = reached or state
            assert setup.control.state == state
            if number in (49, 199):
                memory.append(resident_mb(setup.node))
        assert 50 < refused < 180
        assert memory[1] - memory[0] < 5
        for transition in {"unconfigured": (CONFIGURE,), "inactive": (), "active": (DEACTIVATE,)}[state]:
            assert setup.control.change_state(transition)
        setup.wait_for_closed_topics()
        assert setup.control.change_state(ACTIVATE)
        setup.wait_for_topics()
        encode_one(setup.probe, frame(np.zeros((48, 64, 3), np.uint8)))
    assert "Traceback" not in setup.node.log.read_text()


ROOM = str(resource_path("resource/parity/room.png"))
FAILURES: list[tuple[dict[str, object], str, tuple[str, object]]] = [
    ({"preset": "huge"}, "parameter preset: found 'huge'; expected one of", ("preset", "small")),
    ({"threads": -1}, "parameter threads: found -1; expected 0 to 256", ("threads", 0)),
    ({"threads": "many"}, "parameter threads: found 'many', a string; expected an integer", ("threads", 0)),
    ({"goal_image_path": "/nowhere"}, "found no file /nowhere", ("goal_image_path", "")),
    ({"goal_image_path": "~/nowhere"}, f"found no file {Path.home()}/nowhere", ("goal_image_path", "")),
    (
        {"goal_image_path": ROOM, "max_image_pixels": 256 * 256 - 1},
        "found an image of 256x256 pixels; expected at most 65535 pixels",
        ("max_image_pixels", 256 * 256),
    ),
    (
        {"cameras": ["a", "a"]},
        "parameter cameras: found ('a', 'a'); expected one or more different",
        ("cameras", ["a"]),
    ),
]


@pytest.mark.parametrize(("given", "reason", "correction"), FAILURES, ids=[str(f[0]) for f in FAILURES])
def test_a_failed_configure_says_why_and_can_be_repeated(
    tmp_path: Path, given: dict[str, object], reason: str, correction: tuple[str, object]
) -> None:
    # In a file of its own: a command line that contradicts the shipped file's type is ignored by ROS.
    params_file = tmp_path / "params.yaml"
    params_file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"preset": "small", **given}}}))
    with running(tmp_path / "log", connect=False, encode_ms=0, params_file=params_file, preset=None) as setup:
        node_reports = setup.probe.reports["node"]
        setup.wait_for(lambda: node_reports and node_reports[-1].level == b"\2", "the reason in the diagnostics")
        assert reason in node_reports[-1].message
        assert node_reports[-1].message.startswith("unconfigured: cannot configure: ")
        assert setup.control.state == "unconfigured"
        assert reason in setup.node.log.read_text()
        assert not setup.control.change_state(CONFIGURE)
        result = setup.control.set(*correction)
        assert result.successful, result.reason
        assert setup.control.change_state(CONFIGURE)
        assert setup.control.change_state(ACTIVATE)
        setup.wait_for(lambda: node_reports[-1].level == b"\0", "good health")
    assert "Traceback" not in setup.node.log.read_text()


def test_a_failed_activation_leaves_the_node_inactive(tmp_path: Path) -> None:
    """A QoS override that does not exist is only met when the topic is opened."""
    override = {"qos_overrides./robot/image_raw.subscription.reliability": "sometimes"}
    with running(tmp_path / "log", connect=False, encode_ms=0, **override) as setup:
        reports = setup.probe.reports["node"]
        setup.wait_for(lambda: reports and "cannot activate" in reports[-1].message, "the reason")
        assert "sometimes" in reports[-1].message
        assert setup.control.state == "inactive"
        assert setup.control.change_state(CLEANUP)


def test_failed_activations_leave_nothing_open(tmp_path: Path) -> None:
    """The camera's topic was open when the goal's failed, and must not deliver to an inactive node."""
    override = {"qos_overrides./robot/goal_image.subscription_volatile.reliability": "sometimes"}
    with running(tmp_path / "log", connect=False, encode_ms=0, **override) as setup:
        setup.wait_for_state("inactive")
        for _ in range(3):
            assert not setup.control.change_state(ACTIVATE)
        topics = [f"/robot/{name}" for name in ("image_raw", "goal_image")]
        setup.wait_for(lambda: not any(map(setup.probe.node.count_subscribers, topics)), "the topics to close")
        assert setup.counts()["received"] == 0


@pytest.mark.parametrize("broken", ["configure", "activate", "deactivate", "cleanup"])
def test_every_step_is_undone_whatever_fails(broken: str) -> None:
    class Node(GuardedLifecycleNode):
        """Acquires in each step what the opposite one releases; one of them fails at its end."""

        def __init__(self, context: rclpy.Context) -> None:
            self.held: set[str] = set()
            self.failures = 2 if broken in ("deactivate", "cleanup") else 1
            super().__init__("node", context=context)

        def step(self, name: str) -> None:
            if name == broken and self.failures:
                self.failures -= 1
                raise OSError("no such luck")

        def configure(self) -> None:
            self.held.add("network")
            self.step("configure")

        def activate(self) -> None:
            self.held.add("topics")
            self.step("activate")

        def deactivate(self) -> None:
            self.held.discard("topics")
            self.step("deactivate")

        def cleanup(self) -> None:
            self.held.discard("network")
            self.step("cleanup")

    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node(context)
    held = {"unconfigured": set(), "inactive": {"network"}, "active": {"network", "topics"}}
    for transition in ("configure", "activate", "deactivate", "cleanup"):
        getattr(node, f"trigger_{transition}")()
        assert node.held == held[node.state]
        if transition == broken:
            assert "no such luck" in node.problem
            break
    else:
        raise AssertionError("nothing failed")
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["configuring", "active"])
def test_clean_exit(tmp_path: Path, stop: signal.Signals, moment: str) -> None:
    load_ms = 600_000.0 if moment == "configuring" else 0.0
    with running(tmp_path / "log", connect=moment == "active", stays=False, encode_ms=0, load_ms=load_ms) as setup:
        setup.wait_for_state(moment)
        if moment == "active":
            setup.probe.camera.publish(frame(np.zeros((48, 64, 3), np.uint8)))
        assert setup.node.stop(stop) == 0
    assert "Traceback" not in setup.node.log.read_text()


def test_a_killed_node_comes_back_with_its_goal(tmp_path: Path, photographs: list[NDArray[np.uint8]]) -> None:
    """SIGKILL in mid-stream, and what a supervisor then starts: nothing is left to remember but the latched goal."""
    camera, goal = (cv2.resize(photograph, (320, 240)) for photograph in photographs[:2])

    def stream(setup: Setup, done: Callable[[], bool]) -> None:
        """The camera, which outlives the node, at 30 Hz."""
        for _ in range(30 * 90):
            if done():
                return
            probe.camera.publish(frame(camera, time.time_ns() - STAMP_NS))
            time.sleep(1 / 30)
        raise AssertionError(f"nothing within 90 s; {setup.node.log_tail()}")

    with running(tmp_path / "log", stays=False, encode_ms=30) as first:
        probe = first.probe
        probe.goal.publish(frame(goal))
        stream(first, lambda: bool(probe.tokens) and probe.tokens[-1][1].goal_valid)
        first.node.send(signal.SIGKILL)
        first.node.stop()
        probe.reports.clear()
        with running(tmp_path / "log2", connect=False, encode_ms=30) as second:
            start = len(probe.tokens)
            stream(second, lambda: "active" in first.states)
            stream(second, lambda: any(message.goal_valid for _, message in probe.tokens[start:]))
            message = next(message for _, message in probe.tokens[start:] if message.goal_valid)
            assert message.goal_id == content_id(goal)
