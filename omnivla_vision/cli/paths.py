"""Paths on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path


def path(text: str) -> Path:
    """A path, `~` replaced: a shell leaves it in `--out=~/tokens`, and a launch file everywhere."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"found {text}, and no such home directory; write the whole path") from error
