"""What is wrong with ROS's arguments, in words: rcl names the file, and little else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from omnivla_vision.errors import VisionError

_TAB = re.compile(r"^ *\t", re.MULTILINE)


class ArgumentsError(VisionError):
    """ROS's arguments, or a parameter file among them, cannot be read."""


def explain(arguments: Sequence[str], error: Exception) -> ArgumentsError:
    """The reason why `rclpy.init` refused its arguments.

    Args:
        arguments: what it was given.
        error: how it refused.
    """
    for option, name in pairwise(arguments):
        if option == "--params-file" and Path(name).is_file():
            text = Path(name).read_text(errors="replace")
            if tab := _TAB.search(text):
                line = text.count("\n", 0, tab.start()) + 1
                return ArgumentsError(
                    f"{name}, line {line}: found a tab; expected spaces, the only indentation in YAML; replace it"
                )
    return ArgumentsError(f"ROS's arguments cannot be read: {str(error).split(', at /')[0]}; correct or leave it out")
