"""ROS's log files where their folder cannot be written, or is nowhere: rclpy would not start."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from omnivla_vision.errors import VisionError
from omnivla_vision.output_files import make_folder

# What rcl says for: the console and /rosout, and no files.
WITHOUT_FILES = ("--ros-args", "--disable-external-lib-logs")


class NoHomeError(VisionError):
    """There is no home directory for the log files."""


def ros_arguments(args: Sequence[str] | None = None) -> list[str]:
    """The arguments for `rclpy.init`: `args`, or the process's own; without log files where they cannot be written.

    A sentence on stderr says so then.
    """
    arguments = list(sys.argv if args is None else args)
    try:
        make_folder(_folder())
    except VisionError as error:
        print(f"ROS keeps no log files: {error}; ROS_LOG_DIR names another folder", file=sys.stderr)
        return [*arguments, *WITHOUT_FILES]
    return arguments


def _folder() -> Path:
    """As rcl_logging_interface finds it: ROS_LOG_DIR, ROS_HOME/log, ~/.ros/log."""
    named = os.environ.get("ROS_LOG_DIR")
    home = os.environ.get("ROS_HOME") or "~/.ros"
    try:
        return Path(named).expanduser() if named else Path(home).expanduser() / "log"
    except RuntimeError as error:
        raise NoHomeError(
            f"found no home directory (HOME is not set, and user {os.geteuid()} is not in /etc/passwd)"
        ) from error
