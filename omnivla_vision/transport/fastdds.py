"""Fast DDS: the default shared-memory segment is smaller than one image or one token message."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from omnivla_vision.transport.finding import Transport, holds

VARIABLE_OF_FASTDDS_3, VARIABLE_OF_FASTDDS_2 = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
# The first rclpy that comes with Fast DDS 3 (ROS 2 Kilted), which renamed the variable.
FIRST_RCLPY_OF_FASTDDS_3 = 8
# The distributions before it whose Python this package can run on.
DISTROS_OF_FASTDDS_2 = "humble", "iron", "jazzy"
# Fast DDS's own, from its documentation: SharedMemTransportDescriptor, segment_size.
DEFAULT_SEGMENT_BYTES = 512 * 1024
# What Fast DDS reads from the working directory when no variable names a profile.
DEFAULT_PROFILE = "DEFAULT_FASTDDS_PROFILES.xml", "DEFAULT_FASTRTPS_PROFILES.xml"
SILENT_PUBLISHER = "its images may be too large for its Fast DDS profile: give it config/fastdds.xml of this package"


def rclpy_version() -> str:
    """The installed rclpy's; empty if there is none. From apt it has metadata too: ament_cmake_python writes it."""
    try:
        return version("rclpy")
    except PackageNotFoundError:
        return ""


def profile_variable(environment: Mapping[str, str] = os.environ) -> str:
    """The environment variable that this ROS installation's Fast DDS takes its profile from.

    Decided by the version of rclpy; without rclpy by ROS_DISTRO, and without either as in ROS 2 Kilted and later.
    """
    installed = rclpy_version()
    if installed:
        newer = int(installed.partition(".")[0]) >= FIRST_RCLPY_OF_FASTDDS_3
    else:
        newer = environment.get("ROS_DISTRO", "") not in DISTROS_OF_FASTDDS_2
    return VARIABLE_OF_FASTDDS_3 if newer else VARIABLE_OF_FASTDDS_2


def segment_bytes(environment: Mapping[str, str]) -> int:
    """Size of the shared-memory segment that Fast DDS was told to use.

    Raises:
        OSError, ValueError, ElementTree.ParseError: the profile cannot be read.
    """
    path = _profile(environment)
    if not path:
        return DEFAULT_SEGMENT_BYTES
    # Only the local names: the profile may or may not have a namespace.
    tree = ElementTree.fromstring(Path(path.removeprefix("file://")).read_text())
    sizes = [int(e.text or 0) for e in tree.iter() if e.tag.rpartition("}")[2] == "segment_size"]
    return max(sizes) if sizes else DEFAULT_SEGMENT_BYTES


def examine(message_bytes: int, *, rmw: str, environment: Mapping[str, str]) -> Transport:
    """Compare the segment with messages of that size."""
    variable = profile_variable(environment)
    values: dict[str, object] = {variable: _profile(environment) or "not set"}
    found, advice = "", ""
    if builtin := environment.get("FASTDDS_BUILTIN_TRANSPORTS"):
        found = f"not checked: FASTDDS_BUILTIN_TRANSPORTS={builtin} decides the transport"
    else:
        try:
            segment = segment_bytes(environment)
        except (OSError, ValueError, ElementTree.ParseError) as error:
            found = f"the Fast DDS profile in {variable} cannot be read: {error}"
            advice = f"set {variable} to config/fastdds.xml of this package"
        else:
            values["segment_bytes"] = segment
            found = holds("Fast DDS's shared-memory segment", segment, message_bytes)
            if segment < message_bytes:
                found += ": best-effort messages of that size get lost"
                advice = (
                    f"set {variable} to config/fastdds.xml of this package, here and for the camera driver, or start "
                    "the node from its launch file"
                )
    return Transport(rmw=rmw, found=found, advice=advice, silent_publisher=SILENT_PUBLISHER, values=values)


def _profile(environment: Mapping[str, str]) -> str:
    named = environment.get(profile_variable(environment))
    return named or next((path for path in DEFAULT_PROFILE if Path(path).is_file()), "")
