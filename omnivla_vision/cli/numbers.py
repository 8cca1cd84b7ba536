"""Numbers on the command line that are checked before anything starts."""

from __future__ import annotations

import argparse


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
