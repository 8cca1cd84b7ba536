"""Dependencies point one way, and only the ROS shell knows ROS."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import omnivla_vision

ROOT = Path(omnivla_vision.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
ROS_PACKAGES = {"rclpy", "builtin_interfaces", "std_msgs", "sensor_msgs", "diagnostic_msgs", "rcl_interfaces"}
ROS_PACKAGES |= {"lifecycle_msgs", "rosgraph_msgs", "geometry_msgs", "std_srvs", "cv_bridge", "message_filters"}
ROS_PACKAGES |= {"diagnostic_updater", "launch", "launch_ros"}
# From the top of the building to its foundation: nothing imports from a floor above its own. What is not named here
# (images, tokens, presets, vit ...) is the foundation.
FLOORS = [
    ["cli", "bench", "doctor"],
    ["ros", "replay"],
    ["worker"],
    ["frames", "token_fields"],
    ["loading"],
    ["encoder"],
    ["weights"],
    ["engine", "preprocess", "checkpoint"],
    ["backbone"],
]


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


def floor(part: str) -> int:
    return next((number for number, parts in enumerate(FLOORS) if part in parts), len(FLOORS))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_only_the_shell_imports_ros(module: Path) -> None:
    found = {name for name in imports(module) if name.split(".")[0] in ROS_PACKAGES or name == "omnivla_vision.msg"}
    assert not found or module.parts[0] == "ros"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_dependencies_point_downwards(module: Path) -> None:
    own = floor(module.parts[0].removesuffix(".py"))
    for name in imports(module):
        parts = name.split(".")
        if parts[0] == "omnivla_vision" and len(parts) > 1 and parts[1] != "msg":
            assert floor(parts[1]) >= own, f"{module} imports {name}, from a floor above it"
