"""`omnivla-vision sim`: the MuJoCo corridor, the node and a demonstration controller, as one closed loop."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omnivla_vision.cli.numbers import positive
from omnivla_vision.cli.options import add_engine_options, add_weights_options, node_parameters
from omnivla_vision.cli.paths import path
from omnivla_vision.errors import VisionError
from omnivla_vision.output_files import check_file, make_folder
from omnivla_vision.resources import resource_path

if TYPE_CHECKING:
    from argparse import _SubParsersAction


# Of the random weights: any machine keeps up with it.
RANDOM_PRESET = "small"


class SimulatorMissingError(VisionError):
    """MuJoCo, or what it draws with, is not installed."""


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "sim",
        help="drive a simulated robot through a corridor with the node in the loop",
        description="A MuJoCo corridor with a differential-drive robot publishes camera and /clock; vision_node, on "
        "simulated time, turns them into tokens; an example controller turns their similarity to the goal into "
        "cmd_vel. The controller shows the wiring. It is not a policy. Exit code 0 only if tokens came back.",
    )
    parser.add_argument("--headless", action="store_true", help="without a window")
    parser.add_argument("--seconds", type=positive, default=30.0, metavar="N", help="simulated time (%(default)s)")
    parser.add_argument("--rate", type=positive, default=1.0, help="speed against the wall clock (%(default)s)")
    parser.add_argument("--record", type=path, metavar="OUT.mcap", help="record every topic")
    parser.add_argument("--out", type=path, default=Path("sim"), metavar="DIR", help="the node's log (%(default)s/)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    encoder = parser.add_argument_group("what encodes")
    add_weights_options(encoder, preset=RANDOM_PRESET)
    add_engine_options(encoder)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load the example and run it."""
    if not arguments.headless and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise SimulatorMissingError("found no screen for the window (DISPLAY is not set); give --headless")
    make_folder(arguments.out)
    if arguments.record is not None:
        make_folder(arguments.record.parent)
        check_file(arguments.record)
    sys.path.insert(0, str(resource_path("examples/mujoco_corridor")))
    try:
        example = importlib.import_module("closed_loop")
    except ModuleNotFoundError as error:
        raise SimulatorMissingError(
            f"found no module {error.name}; install the extra: pip install 'omnivla-vision[sim]'"
        ) from error
    except (AttributeError, ImportError) as error:  # what PyOpenGL raises where there is no EGL
        raise SimulatorMissingError(
            f"MuJoCo cannot draw without a screen ({error}); install EGL: apt-get install libegl1 libgl1-mesa-dri"
        ) from error
    if not arguments.checkpoint and not arguments.preset:
        arguments.preset = RANDOM_PRESET
    return int(
        example.run(
            node_parameters=node_parameters(arguments),
            seconds=arguments.seconds,
            rate=arguments.rate,
            headless=arguments.headless,
            record=arguments.record,
            out=arguments.out,
            as_json=arguments.json,
        )
    )
