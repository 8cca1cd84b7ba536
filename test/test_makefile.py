"""What `make` hands to its commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROS = {
    "AMENT_PREFIX_PATH": "/opt/ros/humble",
    "PYTHONPATH": "/opt/ros/humble/lib",
    "LD_LIBRARY_PATH": "/opt/ros/humble/lib",
}


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    "environment", [{"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, {"ROS_DISTRO": "humble", **ROS}], ids=" ".join
)
def test_another_ros_does_not_mix_in(environment: dict[str, str]) -> None:
    """The wheels have one middleware, and end at once where another is named."""
    names = environment.keys() - {"ROS_DISTRO"}
    probe = f"probe: ; @env | grep -E '^({'|'.join(names)})=' || true"
    result = subprocess.run(
        ["make", "--no-print-directory", "--eval", probe, "probe"],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout == ""
