"""`omnivla-vision goals`: a route as a sequence of goal images, from a drive."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from omnivla_vision.cli.numbers import non_negative, positive
from omnivla_vision.cli.options import add_encoder_options, add_max_pixels_option, load
from omnivla_vision.cli.paths import path

if TYPE_CHECKING:
    from argparse import _SubParsersAction

EVERY_S = 2.0


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "goals",
        help="make a sequence of goals from a drive, look at one, encode one",
        description="Goals one after the other along a route, for the node's parameter goal_sequence_path.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_make(actions)
    _add_show(actions)
    _add_encode(actions)


def _add_make(actions: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "make",
        help="take images of a bag every few seconds",
        description="Take an image of the camera every few seconds of a bag, and write DIR/0.png, DIR/1.png, ..., as "
        "visualnav-transformer's topomaps are laid out; and beside the folder DIR.png, which shows them all.",
    )
    parser.add_argument("bag", type=path, metavar="BAG", help="bag folder, .mcap or .db3 file")
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="the folder to make")
    _add_every(parser)
    parser.add_argument("--image-topic", default="", metavar="TOPIC", help="the camera (found by type)")
    parser.add_argument("--start", type=non_negative, default=0.0, metavar="SECONDS", help="into the bag (0)")
    parser.add_argument("--duration", type=positive, metavar="SECONDS", help="how much of it (all)")
    add_max_pixels_option(parser)
    parser.set_defaults(run=make)


def _add_show(actions: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("show", help="draw all goals of a folder or a bag on one sheet")
    parser.add_argument("source", type=path, metavar="DIR|BAG", help="folder of numbered images, or a bag")
    parser.add_argument("--out", type=path, required=True, metavar="PNG", help="the picture to write")
    _add_every(parser)
    add_max_pixels_option(parser)
    parser.set_defaults(run=show)


def _add_encode(actions: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "encode",
        help="encode a sequence, so that no robot needs to",
        description="Encode every goal once and write a folder that goal_sequence_path takes: on a robot that has the "
        "same checkpoint and preprocessing, nothing is left to encode.",
    )
    parser.add_argument("source", type=path, metavar="DIR|BAG", help="folder of numbered images, or a bag")
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="the folder to make")
    _add_every(parser)
    add_max_pixels_option(parser)
    add_encoder_options(parser)
    parser.set_defaults(run=encode)


def _add_every(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--every", type=positive, default=EVERY_S, metavar="SECONDS", help="of a bag: between images (%(default)s)"
    )


def make(arguments: argparse.Namespace) -> int:
    """Write the folder and the sheet."""
    # Here and not above, as in every command: --help should not wait for what is imported.
    from omnivla_vision.goal_sequence.bag import BagSource
    from omnivla_vision.goal_sequence.contact_sheet import contact_sheet, small
    from omnivla_vision.output_files import check_file, new_folder
    from omnivla_vision.tokens.pictures import save_png

    sheet = arguments.out.with_name(f"{arguments.out.name}.png")  # inside, navigate.py would take it for a goal
    check_file(sheet)
    source = BagSource(
        arguments.bag,
        spacing_s=arguments.every,
        image_topic=arguments.image_topic,
        start_s=arguments.start,
        duration_s=arguments.duration,
        max_pixels=arguments.max_image_pixels,
    )
    shown = []
    with new_folder(arguments.out) as folder:
        for number, picture in enumerate(source.pictures()):
            save_png(folder / f"{number}.png", picture.rgb)
            seconds = float(picture.name) - source.start_ns / 1e9
            shown.append(small(picture, f"{number}.png   {seconds:.1f} s"))
    save_png(sheet, contact_sheet(shown))
    print(f"{arguments.out}: {len(shown)} goals, shown in {sheet}")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Write a sheet."""
    from omnivla_vision.goal_sequence.contact_sheet import contact_sheet, small
    from omnivla_vision.goal_sequence.source import open_source
    from omnivla_vision.output_files import check_file
    from omnivla_vision.tokens.pictures import save_png

    check_file(arguments.out)
    source = open_source(arguments.source, spacing_s=arguments.every, max_pixels=arguments.max_image_pixels)
    shown = [small(picture, picture.name) for picture in source.pictures()]
    save_png(arguments.out, contact_sheet(shown))
    print(f"{arguments.out}: {len(shown)} goals")
    return 0


def encode(arguments: argparse.Namespace) -> int:
    """Encode and write."""
    from omnivla_vision.goal_sequence.kept import is_kept
    from omnivla_vision.goal_sequence.prepare import complete, prepare
    from omnivla_vision.goal_sequence.source import open_source
    from omnivla_vision.goal_sequence.store import NamedStore
    from omnivla_vision.output_files import check_new_folder

    check_new_folder(arguments.out)
    open_source(arguments.source, spacing_s=arguments.every)  # what can be seen of it, before the network is loaded
    steps = prepare(
        arguments.source,
        load(arguments).encoder,
        NamedStore(arguments.out),
        spacing_s=arguments.every,
        max_pixels=arguments.max_image_pixels,
        announce=lambda sentence: print(sentence, file=sys.stderr),
    )
    sequence = complete(steps)
    if not is_kept(arguments.out):  # what was in the way is said already
        return 1
    print(f"{arguments.out}: {len(sequence.nodes)} goals encoded")
    return 0
