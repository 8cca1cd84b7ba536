"""Where the files live that ship beside the code: config/, launch/, resource/."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from omnivla_vision.errors import VisionError

PACKAGE = "omnivla_vision"


class MissingResourceError(VisionError):
    """A file of the package is not where any kind of installation puts it."""


def resource_path(relative: str) -> Path:
    """Find a shipped file or folder, e.g. "config/vision.yaml".

    Looks in the source tree (an editable install), in the environment's share folder (pip), and in every prefix of
    AMENT_PREFIX_PATH (colcon, apt).

    Raises:
        MissingResourceError: it is in none of them; the message lists where was looked.
    """
    source_tree = Path(__file__).resolve().parent.parent
    roots = [source_tree] if (source_tree / "package.xml").is_file() else []
    prefixes = [sys.prefix, *filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))]
    roots += [Path(prefix) / "share" / PACKAGE for prefix in prefixes]
    for root in roots:
        if (root / relative).exists():
            return root / relative
    raise MissingResourceError(
        f"{relative} was not found in any of {', '.join(map(str, roots))}; reinstall the package, or source the "
        "workspace's setup file so that AMENT_PREFIX_PATH names it"
    )
