"""What /diagnostics says in every situation a robot gets into."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CompressedImage, Image

from omnivla_vision.live.arrivals import Arrivals
from omnivla_vision.live.frames import Health
from omnivla_vision.ros import diagnostics
from omnivla_vision.ros.diagnostics import NAMES, Snapshot
from omnivla_vision.ros.image_topic import ImageTopic
from omnivla_vision.ros.lifecycle import ACTIVE
from omnivla_vision.transport.examine import examine
from omnivla_vision.transport.fastdds import profile_variable
from test.ros.conftest import RECEIVE, Setup, encode_one, frame, running
from test.ros.control import CONFIGURE

BLACK: NDArray[np.uint8] = np.zeros((48, 64, 3), np.uint8)


def wait_for_camera(setup: Setup, state: str) -> DiagnosticStatus:
    setup.wait_for(lambda: setup.probe.diagnostics("camera").get("state") == state, f"camera state {state}")
    return setup.probe.reports["camera"][-1]


def stream_until_active(setup: Setup, first: int) -> int:
    """Send frames until a report says so, since two seconds of silence end it; how many it took."""
    reports = setup.probe.reports["camera"]
    seen, sent = len(reports), 0

    def active() -> bool:
        nonlocal sent
        encode_one(setup.probe, frame(BLACK, first + sent))
        sent += 1
        return any(
            (values.get("state"), report.level, report.message) == ("active", b"\0", "receiving images")
            and float(values["/robot/image_raw rate_hz"]) > 0
            for report in reports[seen:]
            for values in [{pair.key: pair.value for pair in report.values}]
        )

    setup.wait_for(active, "an active camera")
    return sent


def test_a_cameras_life(tmp_path: Path) -> None:
    with running(tmp_path / "log", encode_ms=0, log__period=0.0) as setup:
        probe = setup.probe
        report = wait_for_camera(setup, "waiting")
        assert report.level == b"\1"
        assert "/robot/image_raw has a publisher, and no image came yet" in report.message
        sent = str(stream_until_active(setup, 0))
        setup.wait_for(lambda: probe.diagnostics("camera")["/robot/image_raw received"] == sent, "all to be counted")
        assert float(probe.diagnostics("camera")["/robot/image_raw age_s"]) > 1e8  # these tests' stamps are of 2009
        broken = frame(BLACK)
        broken.encoding = "16UC1"
        probe.camera.publish(broken)
        report = wait_for_camera(setup, "rejected")
        assert report.level == b"\2"
        assert "depth or other measurements, not colours" in report.message
        stream_until_active(setup, 10_000)
        report = wait_for_camera(setup, "stale")
        assert report.level == b"\3"
        assert "/robot/image_raw: no image for" in report.message
        probe.node.destroy_publisher(probe.camera)
        setup.wait_for(lambda: probe.diagnostics("camera")["publishers"] == "0", "the publisher's end")


def test_nobody_publishes(tmp_path: Path) -> None:
    with running(tmp_path / "log", connect=False, encode_ms=0, remappings=("image_raw:=nothing",)) as setup:
        report = wait_for_camera(setup, "waiting")
        setup.wait_for(lambda: setup.probe.diagnostics("node").get("state") == "active", "activation")
        setup.wait_for(lambda: setup.probe.reports["camera"][-1].level == b"\1", "a warning")
        report = setup.probe.reports["camera"][-1]
        assert report.message == "nobody publishes /robot/nothing; remap it to the camera's topic"


def test_incompatible_qos(tmp_path: Path) -> None:
    override = {"qos_overrides./robot/other.subscription.reliability": "reliable"}
    with running(tmp_path / "log", connect=False, encode_ms=0, remappings=("image_raw:=other",), **override) as setup:
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        publisher = setup.probe.node.create_publisher(Image, "other", best_effort)
        report = wait_for_camera(setup, "incompatible")
        assert report.level == b"\2"
        sentence = (
            "/robot/other: a publisher offers an incompatible QoS (Best effort publisher and reliable subscription), "
            "and nothing comes from it; change it, or this node's with qos_overrides./robot/other.subscription"
        )
        assert report.message == sentence
        reliable = setup.probe.node.create_publisher(Image, "other", 1)

        def camera_says(message: str, level: bytes) -> bool:
            reliable.publish(frame(BLACK))
            report = setup.probe.reports["camera"][-1]
            return (report.message, report.level) == (message, level)

        setup.wait_for(lambda: camera_says(f"receiving images; but {sentence}", b"\1"), "a warning beside images")
        setup.probe.node.destroy_publisher(publisher)
        setup.wait_for(lambda: camera_says("receiving images", b"\0"), "good health")
        setup.probe.node.destroy_publisher(reliable)
        setup.wait_for(lambda: setup.probe.diagnostics("camera")["publishers"] == "0", "the publisher's end")
    assert setup.node.log.read_text().count(sentence) == 1


def test_another_type(tmp_path: Path) -> None:
    """Remapped to a compressed topic, without saying so in the transport."""
    with running(
        tmp_path / "log", encode_ms=0, remappings=("image_raw:=jpeg", "goal_image:=png"), connect=False
    ) as setup:
        node = setup.probe.node
        publishers = [node.create_publisher(CompressedImage, topic, 1) for topic in ("jpeg", "png")]
        mismatch = (
            "a publisher sends sensor_msgs/msg/CompressedImage, and this node expects sensor_msgs/msg/Image; remap the "
            "topic, or change the parameter image_transport or goal_image_transport"
        )
        assert wait_for_camera(setup, "incompatible").message == f"/robot/jpeg: {mismatch}"
        wait_for_goal_report(setup, f"/robot/png: {mismatch}", b"\1")
        for publisher in publishers:
            node.destroy_publisher(publisher)
        wait_for_goal_report(setup, NO_GOAL, b"\0")
        wait_for_camera(setup, "waiting")
    for topic in ("jpeg", "png"):
        assert setup.node.log.read_text().count(f"/robot/{topic}: {mismatch}") == 1


NO_GOAL = "no goal: its tokens are zeros and goal_valid is false"


def wait_for_goal_report(setup: Setup, message: str, level: bytes) -> None:
    reports = setup.probe.reports["goal"]
    setup.wait_for(lambda: reports and (reports[-1].message, reports[-1].level) == (message, level), message)


def test_a_goal_publisher_that_no_subscription_can_hear(tmp_path: Path) -> None:
    """By overrides alone: as shipped the node hears publishers of every reliability and durability."""
    override = {"qos_overrides./robot/goal_image.subscription_best_effort.reliability": "reliable"}
    with running(tmp_path / "log", encode_ms=0, **override) as setup:
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        publisher = setup.probe.node.create_publisher(Image, "goal_image", best_effort)
        sentence = (
            "/robot/goal_image: a publisher offers an incompatible QoS (Best effort publisher and reliable "
            "subscription), and nothing comes from it; change it, or this node's with "
            "qos_overrides./robot/goal_image.subscription_best_effort"
        )
        wait_for_goal_report(setup, sentence, b"\1")
        assert setup.probe.diagnostics("goal")["/robot/goal_image publishers"] == "1"  # the probe's
        setup.probe.node.destroy_publisher(publisher)
        wait_for_goal_report(setup, NO_GOAL, b"\0")
    assert setup.node.log.read_text().count(sentence) == 1


def test_two_nodes_of_one_name(tmp_path: Path) -> None:
    with running(tmp_path / "log", encode_ms=0) as setup:
        reports = setup.probe.reports["node"]
        twin = rclpy.create_node("vision_node", namespace="/robot", context=setup.probe.node.context)
        setup.wait_for(lambda: reports[-1].level == b"\1", "a warning")
        assert reports[-1].message.startswith(
            "active; found 1 more of this node's name: requests and parameters may reach"
        )
        twin.destroy_node()
        setup.wait_for(lambda: (reports[-1].message, reports[-1].level) == ("active", b"\0"), "good health")


def test_everything_else_that_is_reported(setup: Setup) -> None:
    probe = setup.probe
    for number in range(3):
        encode_one(probe, frame(BLACK, number))
    setup.wait_for(lambda: setup.counts().get("published", 0) >= 3, "the counts")
    setup.wait_for(lambda: "publish max" in probe.diagnostics("latency"), "the latencies, which follow them")
    assert set(probe.reports) == set(NAMES)
    assert probe.diagnostics("node")["state"] == "active"
    assert 100 < int(probe.diagnostics("node")["resident_mb"]) < 10_000
    engine = probe.diagnostics("engine")
    assert (engine["engine"], engine["precision"], engine["device"]) == ("eager", "float32", "cpu")
    assert engine["fingerprint"] == "weights: random, seed 5, small"
    assert probe.reports["engine"][-1].message == "RANDOM WEIGHTS: the tokens mean nothing"
    assert probe.reports["engine"][-1].level == b"\1"
    assert probe.diagnostics("goal")["id"] == ""
    latency = probe.diagnostics("latency")
    for stage in (*RECEIVE, "wait", "decode", "preprocess", "encode", "pack", "publish"):
        assert 0 <= float(latency[f"{stage} p50"]) <= float(latency[f"{stage} p95"]) <= float(latency[f"{stage} max"])
    assert probe.reports["transport"][-1].level == b"\0"
    assert probe.diagnostics("transport")["middleware"] == get_rmw_implementation_identifier()
    assert probe.diagnostics("transport")["message_bytes"] == str(512 * 1152 * 2)


def test_they_come_once_a_second_in_every_state(tmp_path: Path) -> None:
    with running(tmp_path / "log", connect=False, autostart=False, encode_ms=0) as setup:
        for state, transition in (("unconfigured", 1), ("inactive", 3), ("active", None)):
            setup.wait_for_state(state)
            start = len(setup.probe.reports["node"])
            setup.wait_for(lambda start=start: len(setup.probe.reports["node"]) >= start + 3, f"reports while {state}")
            if transition:
                assert setup.control.change_state(transition)
    # Nobody waits for this one to be configured.
    with running(tmp_path / "log2", connect=False, autostart=False, encode_ms=0, load_ms=600_000.0) as setup:
        setup.wait_for_state("unconfigured")
        client = setup.probe.node.create_client(ChangeState, "vision_node/change_state")
        setup.wait_for(client.service_is_ready, "the service")
        request = ChangeState.Request()
        request.transition.id = CONFIGURE
        client.call_async(request)
        setup.wait_for(lambda: setup.states.count("configuring") >= 3, "reports while configuring")


@pytest.mark.skipif("fastrtps" not in os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"), reason="Fast DDS only")
def test_a_transport_that_is_too_small(tmp_path: Path) -> None:
    profile = tmp_path / "small.xml"
    profile.write_text(
        '<dds xmlns="http://www.eprosima.com"><profiles><transport_descriptors><transport_descriptor>'
        "<transport_id>s</transport_id><type>SHM</type><segment_size>600000</segment_size>"
        "</transport_descriptor></transport_descriptors></profiles></dds>"
    )
    with running(tmp_path / "log", connect=False, encode_ms=0, environment={profile_variable(): str(profile)}) as setup:
        reports = setup.probe.reports["transport"]
        setup.wait_for(lambda: reports and reports[-1].level == b"\1", "the warning")
        assert "segment holds 600000 bytes and a token message 1179648" in reports[-1].message


@pytest.mark.parametrize(
    ("rmw", "word"),
    [
        ("rmw_fastrtps_cpp", "config/fastdds.xml"),
        ("rmw_cyclonedds_cpp", "CycloneDDS"),
        ("rmw_zenoh_cpp", "Zenoh"),
        ("rmw_connextdds", "rmw_connextdds"),
    ],
)
def test_what_is_said_of_the_transport_is_of_the_middleware_in_use(rmw: str, word: str) -> None:
    transport = examine(1179648, rmw=rmw, environment={})
    camera = SimpleNamespace(topic="/camera", publishers=1, unheard=[], arrivals=Arrivals())
    snapshot = Snapshot(
        state=ACTIVE,
        problem="",
        health=None,
        provenance=None,
        cameras=[cast(ImageTopic, camera)],
        goal=None,
        namesakes=0,
        max_frame_age_s=0.0,
        transport=transport,
        message_bytes=1179648,
    )
    health = cast(Health, SimpleNamespace(camera_problem=""))
    camera_status = diagnostics._camera(snapshot, health)
    assert camera_status.message.startswith("/camera has a publisher, and no image came yet; if it does send, ")
    assert word in camera_status.message
    status = diagnostics.report(snapshot)[NAMES.index("transport")]
    assert status.values["middleware"] == rmw
    assert status.values.items() >= transport.values.items()
    assert status.message == transport.sentence
    assert status.level == (b"\1" if transport.advice else b"\0")
    words = ("Fast DDS", "CycloneDDS", "Zenoh", "connext")
    assert sum(name in status.message + camera_status.message for name in words) == 1
