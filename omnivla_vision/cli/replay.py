"""`omnivla-vision replay`: a bag through the encoder or the node, and a report of what came of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnivla_vision.cli.numbers import non_negative, positive
from omnivla_vision.cli.options import add_encoder_options, add_max_pixels_option, load, node_parameters
from omnivla_vision.cli.paths import path
from omnivla_vision.errors import VisionError

if TYPE_CHECKING:
    from argparse import _SubParsersAction


class ReplayOptionError(VisionError):
    """Options of the command line contradict one another."""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "replay",
        help="play a bag through the encoder or the node, and report what came of it",
        description="Play a rosbag2 folder or .mcap file. Mode `exact` encodes every frame once, in order, without "
        "ROS: two runs give equal tokens. Mode `live` plays over DDS in real time to a real node: what a robot would "
        "see, drops included. Writes DIR/report.html, DIR/metrics.json and DIR/tokens.mcap. Exit code 1 when a frame "
        "or the comparison with a baseline failed.",
    )
    parser.add_argument("bag", type=path, metavar="BAG", help="bag folder, .mcap or .db3 file")
    parser.add_argument("--mode", choices=("exact", "live"), default="exact", help="(%(default)s)")
    parser.add_argument("--out", type=path, default=Path("replay"), metavar="DIR", help="(%(default)s/)")
    parser.add_argument("--json", action="store_true", help="print the metrics, without those of each frame")
    parser.add_argument("--no-tokens", action="store_true", help="do not write tokens.mcap (2 MB per frame)")
    _add_selection(parser.add_argument_group("what to play"))
    _add_encoder(parser.add_argument_group("what encodes"))
    _add_gate(parser.add_argument_group("regression gate (mode exact)"))
    _add_live(parser.add_argument_group("mode live"))
    parser.set_defaults(run=run)


def _add_selection(group: Any) -> None:
    group.add_argument("--image-topic", metavar="TOPIC", help="the camera (found by type)")
    goal = group.add_mutually_exclusive_group()
    goal.add_argument("--goal-topic", metavar="TOPIC", help="the goal images (found by type and name)")
    goal.add_argument("--goal-image", type=path, metavar="FILE", help="a picture as the goal")
    goal.add_argument("--goal-at", type=non_negative, metavar="SECONDS", help="the camera frame at that time")
    add_max_pixels_option(group)
    group.add_argument("--start", type=non_negative, default=0.0, metavar="SECONDS", help="into the bag (0)")
    group.add_argument("--duration", type=positive, metavar="SECONDS", help="how much to play (all)")


def _add_encoder(group: Any) -> None:
    add_encoder_options(group)


def _add_gate(group: Any) -> None:
    group.add_argument("--save-baseline", type=path, metavar="FILE", help="keep what was computed")
    group.add_argument("--against", type=path, metavar="FILE", help="compare with a baseline")
    group.add_argument("--min-cosine", type=float, metavar="C", help="least cosine of a token to its own (0.9999)")
    group.add_argument("--max-relative-l2", type=positive, metavar="L", help="largest relative L2 distance (0.002)")
    group.add_argument("--max-norm-change", type=positive, metavar="N", help="largest relative change (0.003)")
    group.add_argument(
        "--allow-different", action="store_true", help="compare across other weights or another preprocessing"
    )


def _add_live(group: Any) -> None:
    group.add_argument("--rate", type=positive, default=1.0, help="speed of playing (%(default)s)")
    group.add_argument("--loop", type=int, default=1, metavar="N", help="play N times (%(default)s)")
    group.add_argument("--clock", action="store_true", help="publish /clock; the node follows it")
    group.add_argument(
        "--attach", metavar="NODE", help="use a running node, e.g. /robot/vision_node, instead of starting one"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play, write, judge."""
    # Here and not above: torch takes seconds to import, and --help should not.
    from omnivla_vision.replay.run import Options, run_exact

    gate = [name for name in ("save_baseline", "against") if getattr(arguments, name) is not None]
    if arguments.mode == "live" and gate:
        raise ReplayOptionError(
            f"found --{gate[0].replace('_', '-')} in mode live, which drops frames; use --mode exact"
        )
    options = Options(**{name: getattr(arguments, name) for name in Options.names()})
    options.prepare()
    if arguments.mode == "exact":
        return run_exact(options, load(arguments).encoder)
    from omnivla_vision.ros.drive.replay_live import LiveOptions, run_live

    live = LiveOptions(
        rate=arguments.rate,
        loop=arguments.loop,
        clock=arguments.clock,
        attach=arguments.attach,
        node_parameters={**node_parameters(arguments), "max_image_pixels": arguments.max_image_pixels},
    )
    return run_live(options, live)
