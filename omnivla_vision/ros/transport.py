"""Fast DDS's profile: the default shared-memory segment is smaller than one image or one token message."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, MutableMapping
from importlib.metadata import version
from pathlib import Path

from omnivla_vision.resources import resource_path

# The first rclpy that comes with Fast DDS 3 (ROS 2 Kilted), which renamed the variable.
FIRST_RCLPY_OF_FASTDDS_3 = 8
# Fast DDS's own, from its documentation: SharedMemTransportDescriptor, segment_size.
DEFAULT_SEGMENT_BYTES = 512 * 1024
# What Fast DDS reads from the working directory when no variable names a profile.
DEFAULT_PROFILE = "DEFAULT_FASTDDS_PROFILES.xml", "DEFAULT_FASTRTPS_PROFILES.xml"


def profile_variable() -> str:
    """The environment variable that this ROS installation's Fast DDS takes its profile from."""
    major = int(version("rclpy").partition(".")[0])
    return "FASTDDS_DEFAULT_PROFILES_FILE" if major >= FIRST_RCLPY_OF_FASTDDS_3 else "FASTRTPS_DEFAULT_PROFILES_FILE"


def use_shipped_profile(environment: MutableMapping[str, str]) -> None:
    """Name config/fastdds.xml, unless the user has a profile; before rclpy.init, since Fast DDS reads it then."""
    environment.setdefault(profile_variable(), str(resource_path("config/fastdds.xml")))


def segment_bytes(environment: Mapping[str, str]) -> int | None:
    """Size of the shared-memory segment that Fast DDS was told to use; None where nothing here decides it.

    Raises:
        OSError, ElementTree.ParseError: the profile cannot be read.
    """
    if environment.get("FASTDDS_BUILTIN_TRANSPORTS"):
        return None
    path = environment.get(profile_variable()) or next((p for p in DEFAULT_PROFILE if Path(p).is_file()), "")
    if not path:
        return DEFAULT_SEGMENT_BYTES
    # Only the local names: the profile may or may not have a namespace.
    tree = ElementTree.fromstring(Path(path.removeprefix("file://")).read_text())
    sizes = [int(e.text or 0) for e in tree.iter() if e.tag.rpartition("}")[2] == "segment_size"]
    return max(sizes) if sizes else DEFAULT_SEGMENT_BYTES


def transport_problem(message_bytes: int, *, rmw: str, environment: Mapping[str, str]) -> str:
    """What is wrong with the transport for messages of that size, as a sentence, or an empty string."""
    if "fastrtps" not in rmw:
        return ""
    try:
        segment = segment_bytes(environment)
    except (OSError, ElementTree.ParseError) as error:
        return f"the Fast DDS profile in {profile_variable()} cannot be read: {error}"
    if segment is None or segment >= message_bytes:
        return ""
    return (
        f"Fast DDS's shared-memory segment holds {segment} bytes and a token message {message_bytes}: best-effort "
        f"messages of that size get lost; set {profile_variable()} to config/fastdds.xml of this package, here and for "
        "the camera driver, or start the node from its launch file"
    )
