"""The settings that ship with this package."""

from __future__ import annotations

from collections.abc import MutableMapping

from omnivla_vision.resources import resource_path
from omnivla_vision.transport import cyclonedds, fastdds


def use_shipped_profile(environment: MutableMapping[str, str]) -> None:
    """Name config/fastdds.xml and config/cyclonedds.xml, unless the user has settings of his own.

    Before rclpy.init, since the middleware reads them then. Zenoh needs none: what does not fit goes by TCP.
    """
    environment.setdefault(fastdds.profile_variable(environment), str(resource_path("config/fastdds.xml")))
    environment.setdefault(cyclonedds.VARIABLE, f"file://{resource_path('config/cyclonedds.xml')}")
