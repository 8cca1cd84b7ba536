"""Real nodes in processes of their own, over real DDS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from omnivla_vision.msg import VisualTokens
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.ros.drive.node_process import NODE, NodeProcess
from omnivla_vision.ros.drive.probe import Probe
from omnivla_vision.ros.messages import image_message
from omnivla_vision.transport.local import VARIABLES
from omnivla_vision.transport.shipped import use_shipped_profile
from test.encoders import random_encoder
from test.ros.control import Control

NAMESPACE = "/robot"
SHARED = "/shared"  # apart from the nodes that single tests start
STAMP_NS = 1_234_567_890_123_456_789
# The node's warm start takes some five seconds; a loaded machine may need many times that.
TIMEOUT_S = 90.0
# CycloneDDS does not tell when it received a message.
RECEIVE = () if "cyclonedds" in get_rmw_implementation_identifier() else ("receive",)
# The node without its network, for tests of everything else.
CONSTANT_NODE = str(Path(__file__).parents[2] / "benchmarks" / "constant_node.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in Path(item.fspath).parents:  # pytest 6 has no item.path
            item.add_marker(pytest.mark.ros)


@pytest.fixture(scope="session", autouse=True)
def ros_environment() -> None:
    """A domain per test worker, on this machine only, so that parallel tests do not hear one another."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    # Another checkout on this machine names another base.
    os.environ["ROS_DOMAIN_ID"] = str(int(os.environ.get("TEST_DOMAIN_BASE", "60")) + worker)
    os.environ.update(VARIABLES)
    use_shipped_profile(os.environ)


@dataclass(frozen=True)
class Setup:
    """A node, the other end of it, and its services."""

    node: NodeProcess
    probe: Probe
    control: Control

    def wait_for(self, condition: Any, what: str) -> None:
        self.probe.wait_for(condition, what=what, timeout_s=TIMEOUT_S, node=self.node)

    def wait_for_state(self, state: str) -> None:
        self.wait_for(lambda: self.probe.diagnostics("node").get("state") == state, f"state {state}")

    def wait_for_topics(self) -> None:
        """Camera and goal are connected, at both ends."""
        self.wait_for(lambda: self.probe.connected and self.probe.camera.get_subscription_count() > 0, "the topics")

    def wait_for_closed_topics(self) -> None:
        """After a deactivation, so that the next `wait_for_topics` does not see the connections before it."""
        self.wait_for(
            lambda: (
                self.probe.diagnostics("camera").get("publishers", "0") == "0"
                and self.probe.camera.get_subscription_count() == self.probe.goal.get_subscription_count() == 0
            ),
            "the topics to close",
        )

    @property
    def states(self) -> list[str]:
        """Every lifecycle state reported so far; diagnostic_updater's first statuses name none."""
        return [pair.value for report in self.probe.reports["node"] for pair in report.values if pair.key == "state"]

    def counts(self) -> dict[str, int]:
        """The newest frame counts."""
        return {key: int(value) for key, value in self.probe.diagnostics("frames").items()}

    def settled(self, received: int) -> dict[str, int]:
        """Wait until that many frames have arrived and none is in flight; the counts then."""
        self.wait_for(lambda: self.counts().get("received") == received, f"{received} frames to arrive")
        self.wait_for(lambda: self.counts()["in_flight"] == 0, "frames to settle")
        return self.counts()


@contextmanager
def running(
    log: Path,
    *,
    namespace: str = NAMESPACE,
    connect: bool = True,
    stays: bool = True,
    encode_ms: float | None = None,
    load_ms: float = 0.0,
    remappings: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    camera_transport: str = "raw",
    goal_transport: str = "raw",
    params_file: Path | None = None,
    wrapper: tuple[str, ...] = (),
    program: tuple[str, ...] = (),
    **parameters: object,
) -> Iterator[Setup]:
    """Start a node with the small preset and wait until it is connected.

    Args:
        connect: wait until camera and goal are connected both ways.
        stays: the node must still run at the end.
        encode_ms: replace the network by a constant that takes this long.
        load_ms: and its loading this long.
        wrapper: a Python program that runs the node's.
        program: a Python program instead of both.
        parameters: as keywords, with two underscores for a dot.
    """
    given = {
        "preset": "small",
        "engine": "eager",
        **{name.replace("__", "."): value for name, value in parameters.items()},
    }
    given |= {"image_transport": camera_transport, "goal_image_transport": goal_transport}
    given = {name: value for name, value in given.items() if value is not None}
    constant = (CONSTANT_NODE, f"--encode-ms={encode_ms}", f"--load-ms={load_ms}")
    node = NodeProcess(
        parameters=given,
        remappings=[f"__ns:={namespace}", *remappings],
        log=log,
        environment=environment,
        params_file=params_file,
        program=(*wrapper, *(program or (NODE if encode_ms is None else constant))),
    )
    with (
        node,
        Probe(namespace=namespace, camera_transport=camera_transport, goal_transport=goal_transport) as probe,
    ):
        setup = Setup(node, probe, Control(probe, node, timeout_s=TIMEOUT_S))
        if connect:
            setup.wait_for_topics()
        yield setup
        if stays:
            node.check()


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """One vision node with the small preset for a file of tests."""
    with running(tmp_path_factory.mktemp("node") / "log.txt", namespace=SHARED, seed=5) as setup:
        yield setup


@pytest.fixture(scope="module")
def node(setup: Setup) -> NodeProcess:
    return setup.node


@pytest.fixture(scope="module")
def probe(setup: Setup) -> Probe:
    """The other end of the node, connected."""
    return setup.probe


@pytest.fixture(scope="session")
def reference() -> VisionEncoder:
    """The node's network in this process."""
    return random_encoder(seed=5)


def encode_one(probe: Probe, message: Any) -> VisualTokens:
    """Send a frame and wait for the tokens that carry its stamp."""
    start = len(probe.tokens)
    probe.camera.publish(message)

    def answers() -> list[VisualTokens]:
        return [tokens for _, tokens in probe.tokens[start:] if tokens.header.stamp == message.header.stamp]

    probe.wait_for(lambda: bool(answers()), what="tokens", timeout_s=TIMEOUT_S)
    return answers()[0]


def frame(rgb: NDArray[np.uint8], number: int = 0) -> Image:
    """An image message; the number makes its stamp."""
    return image_message(rgb, stamp_ns=STAMP_NS + number, frame_id="front_camera")
