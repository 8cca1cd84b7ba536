"""The omnivla-vision command."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from omnivla_vision.cli import (
    bench,
    build,
    dataset,
    dataset_info,
    demo,
    doctor,
    encode,
    goals,
    inspect,
    replay,
    sim,
    verify,
)
from omnivla_vision.errors import VisionError
from omnivla_vision.process import signals

COMMANDS = (demo, encode, inspect, replay, goals, dataset, dataset_info, sim, build, verify, bench, doctor)

# What a command may take to put away what it is at: an image through the network at the longest.
GRACE_S = 5.0


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: its arguments; None for this process's own, which is then the command's: SIGINT and SIGTERM end it.

    Returns:
        The exit code: 0, 1 for an error that is explained on stderr, 2 for bad usage, 128 + N after signal N.
    """
    parser = argparse.ArgumentParser(
        prog="omnivla-vision",
        description="Fused DINOv2 + SigLIP tokens of camera and goal images, for OmniVLA policies.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    words = sys.argv[1:] if argv is None else argv
    if " ".join(words[:2]) in subparsers.choices:  # "dataset info"; a bag of that name is ./info
        words = [" ".join(words[:2]), *words[2:]]
    arguments = parser.parse_args(words)
    if argv is None:
        signals.note(grace_s=GRACE_S, code=lambda number: 128 + number)
    try:
        with signals.interruptible():
            code = int(arguments.run(arguments))
        if sys.stdout is not None:  # closed by whoever started this
            sys.stdout.flush()  # now, while an error can still be explained
        return code
    except BrokenPipeError:  # whoever read it, like `head`, has seen enough
        _discard_output()
        return 1
    except (VisionError, OSError) as error:
        _discard_output()
        print(f"omnivla-vision: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + (signals.came() or signal.SIGINT)


def _discard_output() -> None:
    """Send what stdout still holds nowhere, if it cannot be written: Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - by its descriptor
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
