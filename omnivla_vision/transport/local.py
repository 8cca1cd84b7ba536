"""How far ROS looks for other nodes."""

from __future__ import annotations

from collections.abc import MutableMapping

# From Iron on, and on Humble, which knows only the second.
VARIABLES = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_LOCALHOST_ONLY": "1"}


def stay_on_this_machine(environment: MutableMapping[str, str]) -> None:
    """Meet no nodes of other machines, unless the user said how far to look; before rclpy.init, which reads it."""
    if not VARIABLES.keys() & environment.keys():
        environment.update(VARIABLES)
