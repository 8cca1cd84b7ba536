"""The systemd unit that ships names things that exist, and stops launch with the signal that it survives."""

from __future__ import annotations

import re
from configparser import ConfigParser

from omnivla_vision.resources import resource_path


def test_the_unit_starts_a_launch_file_and_stops_it_with_sigint() -> None:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] - keys keep their case
    unit.read(resource_path("config/omnivla_vision.service"))
    service = unit["Service"]
    command = re.search(r"exec ros2 launch omnivla_vision (\S+\.launch\.py)", service["ExecStart"])
    assert command
    assert resource_path(f"launch/{command[1]}").is_file()
    assert (service["KillSignal"], service["KillMode"]) == ("SIGINT", "mixed")
