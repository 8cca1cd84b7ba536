"""The files for Gazebo and Isaac Sim, as far as they can be checked without those simulators."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

from omnivla_vision.resources import resource_path

WORLD = resource_path("resource/gazebo/corridor.sdf")
# What ros_gz_bridge reads: https://github.com/gazebosim/ros_gz, ros_gz_bridge/README.md
KEYS = {"ros_topic_name", "gz_topic_name", "ros_type_name", "gz_type_name", "direction"}
PAIRS = {
    ("rosgraph_msgs/msg/Clock", "gz.msgs.Clock"),
    ("sensor_msgs/msg/CameraInfo", "gz.msgs.CameraInfo"),
    ("geometry_msgs/msg/Twist", "gz.msgs.Twist"),
}


@pytest.fixture(scope="module")
def check_sdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that loads SDF with Gazebo's own parser."""
    compiler, pkg_config = shutil.which("g++"), shutil.which("pkg-config")
    listed = (
        subprocess.run([pkg_config, "--list-all"], capture_output=True, text=True, check=True) if pkg_config else None
    )
    libraries = [
        line.split()[0] for line in (listed.stdout.splitlines() if listed else []) if line.startswith("sdformat")
    ]
    if not (compiler and libraries):
        pytest.skip("no libsdformat to load the world with: apt-get install libsdformat-dev")
    flags = subprocess.run(
        [pkg_config, "--cflags", "--libs", libraries[-1]], capture_output=True, text=True, check=True
    )
    program = tmp_path_factory.mktemp("sdf") / "check_sdf"
    source = Path(__file__).with_name("check_sdf.cc")
    subprocess.run([compiler, "-std=c++17", "-w", source, "-o", program, *flags.stdout.split()], check=True)
    return program


def test_the_world_loads_in_gazebos_own_parser(check_sdf: Path, tmp_path: Path) -> None:
    result = subprocess.run([check_sdf, WORLD], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["image_raw", "2"]
    misspelt = tmp_path / "misspelt.sdf"
    misspelt.write_text(WORLD.read_text().replace("update_rate>", "updaterate>"))
    assert subprocess.run([check_sdf, misspelt], capture_output=True, check=False).returncode == 1


def test_the_world_and_the_bridge_name_the_same_topics() -> None:
    world = ElementTree.parse(WORLD).getroot()
    offered = {"/clock", "/camera_info", *(f"/{element.text}" for element in world.iter("topic"))}
    entries = YAML(typ="safe").load(resource_path("config/gz_bridge.yaml").read_text())
    for entry in entries:
        assert set(entry) == KEYS
        assert entry["gz_topic_name"] in offered
        assert (entry["ros_type_name"], entry["gz_type_name"]) in PAIRS
        assert entry["direction"] == ("ROS_TO_GZ" if entry["ros_topic_name"] == "cmd_vel" else "GZ_TO_ROS")
        package, _, name = entry["ros_type_name"].split("/")
        assert hasattr(pytest.importorskip(f"{package}.msg"), name)
    assert {entry["gz_topic_name"] for entry in entries} | {"/image_raw"} == offered


def described(name: str) -> list[Any]:
    """The launch description's entities, groups opened."""
    pytest.importorskip("launch_ros")
    entities = list(runpy.run_path(str(resource_path(f"launch/{name}")))["generate_launch_description"]().entities)
    for entity in entities:
        entities.extend(getattr(entity, "_GroupAction__actions", []))
    return entities


def texts(value: Any) -> str:
    """The plain words in a substitution, a list of them, or a string."""
    if isinstance(value, (list, tuple)):
        return "".join(map(texts, value))
    return getattr(value, "text", None) or (value if isinstance(value, str) else "<...>")


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("gazebo.launch.py", {"namespace", "world", "gz_flags"}),
        ("isaac.launch.py", {"image_topic", "goal_topic", "namespace"}),
    ],
)
def test_the_launch_files_load(file: str, arguments: set[str]) -> None:
    entities = described(file)
    assert {entity.name for entity in entities if type(entity).__name__ == "DeclareLaunchArgument"} == arguments
    included = [entity for entity in entities if type(entity).__name__ == "IncludeLaunchDescription"]
    last = {texts(key): texts(value) for key, value in included[-1].launch_arguments}
    assert last["use_sim_time"] == "true", "the node follows the simulator's clock"
    assert set(last) <= {entity.name for entity in described("vision.launch.py") if hasattr(entity, "default_value")}


def test_gazebos_launch_starts_both_bridges() -> None:
    nodes = [entity for entity in described("gazebo.launch.py") if type(entity).__name__ == "Node"]
    started = {(texts(node.node_package), texts(node.node_executable)) for node in nodes}
    assert started == {("ros_gz_bridge", "parameter_bridge"), ("ros_gz_image", "image_bridge")}


def test_isaacs_launch_remaps_the_camera_and_the_goal() -> None:
    remaps = [entity for entity in described("isaac.launch.py") if type(entity).__name__ == "SetRemap"]
    assert [texts(remap.src) for remap in remaps] == ["image_raw", "goal_image"]
