"""The launch files, where launch_ros is installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from omnivla_vision.resources import resource_path
from omnivla_vision.ros.drive.probe import Probe
from omnivla_vision.ros.messages import image_message
from test.policy.folder import CODE, write_policy
from test.ros.conftest import TIMEOUT_S, encode_one, frame

pytest.importorskip("launch_ros")

RUN = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description import LaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
service = LaunchService()
arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=[tuple(a) for a in arguments])])
)
sys.exit(service.run())
"""


@contextmanager
def launched(file: str, log: Path, *arguments: str, interrupts: int = 1) -> Iterator[Probe]:
    """Run a launch file as `ros2 launch` does, with the small preset; at the end press Ctrl-C so many times."""
    params_file = log.with_name("params.yaml")
    text = resource_path("config/vision.yaml").read_text()
    small = text.replace('preset: ""', "preset: small").replace("engine: auto", "engine: eager")
    assert small.count("small") > text.count("small")
    params_file.write_text(small)
    environment = dict(os.environ)
    environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    path = str(resource_path(f"launch/{file}"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, path, "namespace:=robot", f"params_file:={params_file}", *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with Probe(namespace="/robot") as probe:
            probe.wait_for(
                lambda: probe.connected or process.poll() is not None, what="the node to come up", timeout_s=TIMEOUT_S
            )
            assert process.poll() is None, log.read_text()
            yield probe
    finally:
        for _ in range(interrupts):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.1)
        process.wait(60)


def test_vision(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with launched("vision.launch.py", log, "log_level:=debug", "autostart:=true") as probe:
        message = encode_one(probe, frame(np.zeros((48, 64, 3), np.uint8)))
        assert message.preset == "small"
        # The shipped profile is in force: the default one would be reported.
        assert probe.reports["transport"][-1].level == b"\0"
    assert "[DEBUG]" in log.read_text()


def test_a_node_that_is_killed_is_respawned(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with launched("vision.launch.py", log, "use_respawn:=true") as probe:
        before = encode_one(probe, frame(np.zeros((48, 64, 3), np.uint8)))
        found = subprocess.run(
            ["pgrep", "-f", "vision_node .*__ns:=/robot"], capture_output=True, text=True, check=True
        )
        os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
        probe.reports.clear()
        probe.wait_for(lambda: probe.connected, what="the node to come back", timeout_s=TIMEOUT_S)
        after = encode_one(probe, frame(np.zeros((48, 64, 3), np.uint8), 1))
        assert after.data == before.data


def test_policy_stub(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with launched("policy_stub.launch.py", log) as probe:
        probe.wait_for(
            lambda: probe.node.count_subscribers("/robot/vision_node/tokens") == 2, what="the policy", timeout_s=60
        )
        for number in range(5):
            encode_one(probe, frame(np.zeros((48, 64, 3), np.uint8), number))
        probe.wait_for(
            lambda: "float16 of weights: random" in log.read_text(), what="the policy's report", timeout_s=TIMEOUT_S
        )


def test_openvla_policy(tmp_path: Path) -> None:
    """Its parameters arrive as they are: the policy's checkpoint is the node's, and a list is a list."""
    log, checkpoint = tmp_path / "log", write_policy(tmp_path / "policy")
    given = [f"checkpoint:={checkpoint}", f"code:={CODE}", "trust_remote_code:=true", "goals:=[language]", "prompt:=go"]
    given += ["space:=projected", "image_path:=openvla-crop", "max_age:=60.0"]
    with launched("openvla_policy.launch.py", log, *given) as probe:
        probe.wait_for(
            lambda: probe.node.count_subscribers("/robot/vision_node/tokens") == 2, what="the policy", timeout_s=60
        )

        def drives() -> bool:
            probe.camera.publish(image_message(np.zeros((48, 64, 3), np.uint8), stamp_ns=time.time_ns(), frame_id="x"))
            time.sleep(0.1)
            return "driving" in log.read_text()

        probe.wait_for(drives, what="the policy to drive", timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("file", ["policy_stub", "openvla_policy", "gazebo", "isaac"])
def test_show_args_lists_what_is_passed_on(file: str) -> None:
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    def arguments(name: str) -> set[str]:
        source = PythonLaunchDescriptionSource(str(resource_path(f"launch/{name}.launch.py")))
        return {found.name for found in source.get_launch_description(LaunchContext()).get_launch_arguments()}

    assert {"params_file", "checkpoint", "use_respawn"} <= arguments("vision") <= arguments(file)


@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_reaches_the_node_twice(tmp_path: Path, count: int) -> None:
    """The terminal signals the whole group, and launch forwards it; a person may press it again."""
    log = tmp_path / "log"
    with launched("policy_stub.launch.py", log, interrupts=count) as probe:
        encode_one(probe, frame(np.zeros((48, 64, 3), np.uint8)))
    text = log.read_text()
    assert text.count("process has finished cleanly") == 2, text
    assert "Traceback" not in text
