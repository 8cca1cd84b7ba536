"""The node and the examples on Humble's rclpy: really, where this is Humble, and over `humble.py` elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from omnivla_vision.goal import content_id
from omnivla_vision.ros import qos
from omnivla_vision.ros.executor import PASSES_MESSAGE_INFO
from omnivla_vision.ros.messages import bytes_field, image_message, ns_to_stamp
from test.ros.conftest import RECEIVE, STAMP_NS, TIMEOUT_S, encode_one, frame, running
from test.ros.control import ACTIVATE, DEACTIVATE
from test.ros.test_diagnostics import wait_for_camera
from test.ros.test_goal_order import KINDS, Goals
from test.ros.test_goals import wait_for_goal
from test.ros.test_policy_stub import STUB
from test.ros.test_signals import INT, stop

HUMBLE = (str(Path(__file__).with_name("humble.py")),) if PASSES_MESSAGE_INFO else ()
BLACK: NDArray[np.uint8] = np.zeros((48, 64, 3), np.uint8)
WHITE = np.full((48, 64, 3), 255, np.uint8)


def png(rgb: NDArray[np.uint8]) -> CompressedImage:
    _, data = cv2.imencode(".png", rgb)
    message = CompressedImage(format="png", data=bytes_field(data.reshape(-1)))
    message.header.stamp = ns_to_stamp(STAMP_NS)
    return message


def test_a_cleared_goal_stays_cleared(tmp_path: Path) -> None:
    """The latched message comes again after a pause; only its time of sending tells that it is known."""
    with running(tmp_path / "log", encode_ms=0, wrapper=HUMBLE) as setup:
        setup.probe.goal.publish(frame(WHITE))
        wait_for_goal(setup, content_id(WHITE))
        message = encode_one(setup.probe, frame(BLACK, 1))
        assert message.goal_valid
        assert list(message.stage_names[: len(RECEIVE)]) == [*RECEIVE]  # by the info, too
        assert setup.control.clear_goal().success
        wait_for_goal(setup, "")
        for lap in (2, 3):
            assert setup.control.change_state(DEACTIVATE)
            setup.wait_for_closed_topics()
            assert setup.control.change_state(ACTIVATE)
            setup.wait_for_topics()
            time.sleep(0.5)  # for what must not come
            assert not encode_one(setup.probe, frame(BLACK, lap)).goal_valid
        volatile = setup.probe.node.create_publisher(Image, "goal_image", 1)
        setup.wait_for(lambda: volatile.get_subscription_count() == 2, "the subscriptions")
        volatile.publish(frame(BLACK, 4))
        wait_for_goal(setup, content_id(BLACK))
        setup.probe.node.destroy_publisher(volatile)


def test_goals_and_a_wish_for_none_that_waited(tmp_path: Path) -> None:
    """Their times of sending come with messages and requests here, too."""
    with running(tmp_path / "log", encode_ms=0, wrapper=HUMBLE) as setup:
        goals = Goals(setup, "raw")
        for kind in KINDS:
            with goals.publisher(kind) as send:

                def several(send: Callable[[], str] = send) -> str:
                    with goals.stopped():
                        return [send() for _ in range(3)][-1]

                goals.last_in_force(several, last=kind)
                with goals.stopped():
                    send()
                    goals.clear.call_async(Trigger.Request())
                goals.in_force("")


def test_compressed_topics(tmp_path: Path) -> None:
    with running(
        tmp_path / "log", encode_ms=0, wrapper=HUMBLE, camera_transport="compressed", goal_transport="compressed"
    ) as setup:
        setup.probe.goal.publish(png(WHITE))
        wait_for_goal(setup, content_id(WHITE))
        assert encode_one(setup.probe, png(BLACK)).goal_id == content_id(WHITE)


def test_simulated_time(tmp_path: Path) -> None:
    """/clock is a subscription of rclpy's own, whose callback wants the message alone."""
    with running(tmp_path / "log", encode_ms=0, wrapper=HUMBLE, use_sim_time=True, max_frame_age=5.0) as setup:
        clock = setup.probe.node.create_publisher(Clock, "/clock", 10)
        setup.wait_for(lambda: clock.get_subscription_count() == 1, "the clock")

        def outcome(now_s: int, expected: str) -> bool:
            """Whether a frame was fresh or stale by that clock, which it may overtake."""
            clock.publish(Clock(clock=ns_to_stamp(STAMP_NS + now_s * 10**9)))
            setup.probe.camera.publish(frame(BLACK))
            time.sleep(0.1)
            return setup.counts().get(expected, 0) > 0

        setup.wait_for(lambda: outcome(3, "published"), "a fresh frame")
        assert setup.counts()["stale"] == 0
        setup.wait_for(lambda: outcome(10, "stale"), "a stale frame")


def test_publishers_are_counted_in_the_graph(tmp_path: Path) -> None:
    override = {"qos_overrides./robot/image_raw.subscription.reliability": "reliable"}
    with running(tmp_path / "log", encode_ms=0, wrapper=HUMBLE, **override) as setup:
        node = setup.probe.node
        assert setup.probe.diagnostics("camera")["publishers"] == "1"
        node.destroy_publisher(setup.probe.camera)
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        bad = node.create_publisher(Image, "image_raw", best_effort)
        wait_for_camera(setup, "incompatible")
        assert setup.probe.diagnostics("camera")["publishers"] == "0"
        node.destroy_publisher(bad)
        wait_for_camera(setup, "waiting")
        setup.probe.camera = node.create_publisher(Image, "image_raw", 1)
        setup.wait_for(lambda: setup.probe.diagnostics("camera")["publishers"] == "1", "the new publisher")
        setup.wait_for_topics()
        encode_one(setup.probe, frame(BLACK))


def test_several_cameras(tmp_path: Path) -> None:
    pytest.importorskip("message_filters")
    with running(tmp_path / "log", connect=False, encode_ms=0, wrapper=HUMBLE, cameras=["left", "right"]) as setup:
        setup.wait_for_state("active")
        cameras = [setup.probe.node.create_publisher(Image, f"{name}/image_raw", 1) for name in ("left", "right")]
        setup.wait_for(lambda: setup.probe.diagnostics("camera")["publishers"] == "1", "the cameras")
        setup.wait_for(lambda: all(camera.get_subscription_count() == 1 for camera in cameras), "the node")
        for camera in cameras:
            camera.publish(frame(BLACK))
        setup.wait_for(lambda: setup.probe.tokens, "tokens")


def test_the_policy_stub(tmp_path: Path) -> None:
    log = tmp_path / "stub"
    with running(tmp_path / "log", encode_ms=0, wrapper=HUMBLE) as setup, log.open("wb") as output:
        stub = subprocess.Popen(
            [sys.executable, *HUMBLE, str(STUB), "--ros-args", "-r", "tokens:=/robot/vision_node/tokens"],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + TIMEOUT_S
        while not re.search(r"[1-9]\d* Hz, .*float16 of constant, goal none", log.read_text()):
            assert time.monotonic() < deadline, log.read_text()
            setup.probe.camera.publish(image_message(BLACK, stamp_ns=time.time_ns(), frame_id="camera"))
            time.sleep(0.05)
        assert stop(stub, [INT, INT]) == 0, log.read_text()


@pytest.mark.skipif(not PASSES_MESSAGE_INFO, reason="this is Humble itself")
def test_the_emulation_is_in_force(tmp_path: Path) -> None:
    """Else the tests above would say nothing."""
    program = (
        "from test.ros.humble import emulate; emulate()\n"
        "import rclpy, rclpy.executors\n"
        "from std_msgs.msg import Empty\n"
        "from omnivla_vision.ros import executor, qos\n"
        "assert not executor.PASSES_MESSAGE_INFO and not qos.HAS_MATCHED_EVENT\n"
        "rclpy.init(); node = rclpy.create_node('x'); node.create_subscription(Empty, 'y', lambda m, info: None, 1)\n"
        "publisher = node.create_publisher(Empty, 'y', 1)\n"
        "plain = rclpy.executors.SingleThreadedExecutor(); plain.add_node(node)\n"
        "while True: publisher.publish(Empty()); plain.spin_once(timeout_sec=0.1)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "missing 1 required positional argument: 'info'" in result.stderr
    assert qos.HAS_MATCHED_EVENT
