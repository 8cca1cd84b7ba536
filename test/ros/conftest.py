"""Real nodes in processes of their own, over real DDS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.ros.node_process import NodeProcess
from omnivla_vision.ros.probe import Probe
from omnivla_vision.ros.transport import use_shipped_profile
from test.encoders import random_encoder

NAMESPACE = "/robot"
# The node's warm start takes some five seconds; a loaded machine may need many times that.
TIMEOUT_S = 90.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ros)


@pytest.fixture(scope="session", autouse=True)
def ros_environment() -> None:
    """A domain per test worker, on this machine only, so that parallel tests do not hear one another."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.environ["ROS_DOMAIN_ID"] = str(60 + worker)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    use_shipped_profile(os.environ)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One vision node with the small preset for a file of tests."""
    log = tmp_path_factory.mktemp("node") / "log.txt"
    with NodeProcess(
        parameters={"preset": "small", "seed": 5, "engine": "eager"}, remappings=[f"__ns:={NAMESPACE}"], log=log
    ) as node:
        yield node
        node.check()


@pytest.fixture(scope="module")
def probe(node: NodeProcess) -> Iterator[Probe]:
    """The other end of the node, connected."""
    with Probe(namespace=NAMESPACE) as probe:
        probe.wait_for(lambda: probe.connected, what="the node to come up", timeout_s=TIMEOUT_S, node=node)
        yield probe


@pytest.fixture(scope="session")
def reference() -> VisionEncoder:
    """The node's network in this process."""
    return random_encoder(seed=5)
