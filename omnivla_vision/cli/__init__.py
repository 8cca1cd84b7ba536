"""The omnivla-vision command."""

from __future__ import annotations

import argparse
import sys

from omnivla_vision.cli import bench, build, demo, doctor, encode, inspect, replay, sim, verify
from omnivla_vision.errors import VisionError

COMMANDS = (demo, encode, inspect, replay, sim, build, verify, bench, doctor)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for an error that is explained on stderr, 2 for bad usage."""
    parser = argparse.ArgumentParser(
        prog="omnivla-vision",
        description="Fused DINOv2 + SigLIP tokens of camera and goal images, for OmniVLA policies.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (VisionError, OSError) as error:
        print(f"omnivla-vision: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
