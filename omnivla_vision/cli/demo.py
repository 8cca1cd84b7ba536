"""`omnivla-vision demo`: the real node, the bundled sample drive, and what came back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from omnivla_vision.cli.options import add_distribution_option
from omnivla_vision.cli.paths import path
from omnivla_vision.network.presets import DEFAULT_PRESET, PRESETS

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"found {text}; expected more than 0 seconds")
    return value


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "demo",
        help="play the sample drive into the real node and show the tokens that come back",
        description="Start vision_node as a process of its own with the shipped parameters, play the bundled sample "
        "drive into it over DDS at its recorded rate with a goal image, and show what came back. No checkpoint is "
        "needed: the weights are random. Exit code 0 only if tokens came back and every frame is accounted for.",
    )
    parser.add_argument("--preset", choices=PRESETS, default=DEFAULT_PRESET, help="which encoders (%(default)s)")
    add_distribution_option(parser)
    parser.add_argument("--seconds", type=_positive, metavar="N", help="how long to play (the whole drive, once)")
    parser.add_argument("--json", type=path, metavar="FILE", help="also write the figures to FILE")
    parser.add_argument(
        "--out", type=path, default=Path("demo"), metavar="DIR", help="where picture and log go (%(default)s/)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Play, report, and judge."""
    # Here and not above: ROS and torch take seconds to import, and --help should not.
    from omnivla_vision.ros.drive.demo import run_demo

    return run_demo(
        preset_name=arguments.preset,
        distribution=arguments.weights,
        seconds=arguments.seconds,
        json_file=arguments.json,
        folder=arguments.out,
    )
