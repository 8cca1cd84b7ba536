"""Fast DDS's profile: the default shared-memory segment is smaller than one image or one token message."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib.metadata import version

from omnivla_vision.resources import resource_path

# The first rclpy that comes with Fast DDS 3 (ROS 2 Kilted), which renamed the variable.
FIRST_RCLPY_OF_FASTDDS_3 = 8


def profile_variable() -> str:
    """The environment variable that this ROS installation's Fast DDS takes its profile from."""
    major = int(version("rclpy").partition(".")[0])
    return "FASTDDS_DEFAULT_PROFILES_FILE" if major >= FIRST_RCLPY_OF_FASTDDS_3 else "FASTRTPS_DEFAULT_PROFILES_FILE"


def use_shipped_profile(environment: MutableMapping[str, str]) -> None:
    """Name config/fastdds.xml, unless the user has a profile; before rclpy.init, since Fast DDS reads it then."""
    environment.setdefault(profile_variable(), str(resource_path("config/fastdds.xml")))
