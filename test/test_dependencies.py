"""Dependencies point one way, and only the ROS shell knows ROS."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

import omnivla_vision

ROOT = Path(omnivla_vision.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
ROS_PACKAGES = {"rclpy", "builtin_interfaces", "std_msgs", "sensor_msgs", "diagnostic_msgs", "rcl_interfaces"}
ROS_PACKAGES |= {"lifecycle_msgs", "rosgraph_msgs", "geometry_msgs", "std_srvs", "cv_bridge", "message_filters"}
ROS_PACKAGES |= {"diagnostic_updater", "launch", "launch_ros", "nav_msgs"}
GENERATED = ("omnivla_vision.msg", "omnivla_vision.srv")
# Which room may import which, from the foundation up: a room knows only rooms above its own line here.
ROOMS = {
    "errors": "",
    "goal": "",
    "progress": "",
    "process": "",
    "resources": "errors",
    "output_files": "errors",
    "network": "errors",
    "images": "errors network",
    "tokens": "errors goal images network output_files",
    "transport": "errors resources",
    "checkpoint": "errors network",
    "weights": "checkpoint errors images network",
    "policy": "checkpoint errors network tokens weights",
    "engine": "errors images network output_files process resources tokens",
    "history": "images network",
    "encoder": "engine errors goal history images network tokens",
    "loading": "encoder engine history network tokens weights",
    "live": "encoder goal images tokens",
    "replay": "encoder errors goal images live network output_files process progress resources tokens",
    "goal_sequence": "encoder engine errors goal images live network process replay tokens",
    "dataset": "encoder errors images loading network process replay resources tokens",
    "bench": "encoder engine errors goal images network tokens weights",
    "doctor": "engine transport",
    "ros": "encoder engine errors goal goal_sequence images live loading network output_files process tokens transport"
    " weights",
    "ros/drive": "errors live network output_files replay resources ros tokens transport",
    "cli": "bench checkpoint dataset doctor engine errors goal goal_sequence images loading network output_files"
    " process progress replay resources ros/drive tokens weights",
}


def room(parts: Sequence[str]) -> str:
    """The room of a module, by its path or its dotted name below the package."""
    return "ros/drive" if tuple(parts[:2]) == ("ros", "drive") else parts[0].removesuffix(".py")


def imports(module: Path) -> set[str]:
    """Every absolute module name that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_only_the_shell_imports_ros(module: Path) -> None:
    found = {name for name in imports(module) if name.split(".")[0] in ROS_PACKAGES or name in GENERATED}
    assert not found or module.parts[0] == "ros"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_only_datasets_import_their_libraries(module: Path) -> None:
    """The extras `dataset` and `ray` are no robot's business; no room that a node needs imports that one."""
    found = {name for name in imports(module) if name.split(".")[0] in ("lance", "pyarrow", "ray")}
    assert not found or module.parts[0] == "dataset"


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_what_the_table_says(name: str) -> None:
    found = {
        room(parts[1:])
        for module in MODULES
        if room(module.parts) == name
        for parts in (imported.split(".") for imported in imports(module))
        if parts[0] == "omnivla_vision" and len(parts) > 1 and parts[1] not in ("msg", "srv")
    }
    assert found - {name} == set(ROOMS[name].split())


def test_every_module_is_in_a_room() -> None:
    assert {room(module.parts) for module in MODULES} == {*ROOMS, "__init__"}


def test_dependencies_point_one_way() -> None:
    known: set[str] = set()
    for name, others in ROOMS.items():
        assert set(others.split()) <= known, f"{name} imports a room that stands below it"
        known.add(name)


def test_the_contributors_map_shows_the_table() -> None:
    text = Path(__file__).parents[1].joinpath("CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| `([\w/]+)` \|[^|]*\| ([^|]*) \|$", text, re.MULTILINE)
    assert {name: " ".join(re.findall(r"[\w/]+", others)) for name, others in rows} == ROOMS
