"""Numbers on the command line that are checked before anything starts."""

from __future__ import annotations

import argparse

# Of the gate's limits; the node's parameter has the same.
MAX_TOLERANCE = 100.0


def positive(text: str) -> float:
    """A number above zero."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"found {text}; expected more than 0")
    return value


def whole_positive(text: str) -> int:
    """A whole number above zero."""
    value = int(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"found {text}; expected more than 0")
    return value


def non_negative(text: str) -> float:
    """Zero or a number above it."""
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"found {text}; expected 0 or more")
    return value


def tolerance(text: str) -> float:
    """A factor of 1 or more, and not so large that it stands for no limit at all."""
    value = float(text)
    if not 1 <= value <= MAX_TOLERANCE:
        raise argparse.ArgumentTypeError(f"found {text}; expected 1 (the gate's own limits) to {MAX_TOLERANCE:g}")
    return value
