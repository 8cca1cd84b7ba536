"""`omnivla-vision encode`: the node's pipeline on image files, without ROS."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from omnivla_vision.cli.named_images import NamedImages
from omnivla_vision.cli.options import add_encoder_options, add_max_pixels_option, load
from omnivla_vision.cli.past_images import add_past_option, check_past, encode_past, named_past
from omnivla_vision.cli.paths import path
from omnivla_vision.tokens.packing import DTYPES

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "encode",
        help="encode image files into a .safetensors file, without ROS",
        description="Encode an image, or one of each camera, and a goal image if there is one, exactly as the node "
        "does. Without a goal its tokens are zeros. The file holds `tokens` [1, tokens, width], or each of a preset's "
        "outputs under its name, and in its metadata what they are and what computed them, as a message has it.",
    )
    parser.add_argument(
        "--image",
        action=NamedImages,
        required=True,
        metavar="[NAME=]A",
        help="the current image (JPEG, PNG, WebP), or several with their names: --image full=A --image wrist=B",
    )
    parser.add_argument("--goal", type=path, metavar="B", help="the goal image")
    add_past_option(parser)
    add_max_pixels_option(parser)
    # The reference, not the node's choice for this machine: two machines should agree.
    add_encoder_options(parser, engine="eager")
    parser.add_argument("--no-goal", dest="takes_goal", action="store_false", help="no rows for a goal (OpenVLA)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="number format of the file (%(default)s)")
    parser.add_argument("--out", type=path, required=True, metavar="FILE", help="the .safetensors file to write")
    parser.add_argument(
        "--picture", type=path, metavar="PNG", help="draw every image with what each output makes of it"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Encode and write."""
    # Here and not above: torch takes seconds to import, and --help should not.
    from rich.console import Console

    from omnivla_vision.cli.output_table import output_table
    from omnivla_vision.goal import Goal
    from omnivla_vision.images.files import read_rgb
    from omnivla_vision.output_files import check_file, write
    from omnivla_vision.tokens.files import token_file
    from omnivla_vision.tokens.layout import GOAL
    from omnivla_vision.tokens.pictures import save_png
    from omnivla_vision.tokens.sheet import outputs_of, sheet

    check_file(arguments.out)
    if arguments.picture is not None:
        check_file(arguments.picture)
    read = partial(read_rgb, max_pixels=arguments.max_image_pixels)
    images = [read(file) for file in arguments.image.values()]
    past = [read(file) for file in arguments.past]
    check_past(arguments.past, past, images)
    arguments.cameras = tuple(arguments.image)
    goal = Goal(rgb=read(arguments.goal)) if arguments.goal else None
    loaded = load(arguments)
    encoder = loaded.encoder
    check_file(arguments.out, encoder.layout.elements * DTYPES[arguments.dtype].bits // 8)
    encoder.set_goal(goal)
    encode_past(loaded, past)
    tokens = encoder.encode(images)
    write(arguments.out, token_file(tokens, arguments.dtype))
    print(f"{arguments.out}: {arguments.dtype}")
    Console().print(output_table(encoder.layout, arguments.dtype))
    if arguments.picture is not None:
        shown = dict(zip(arguments.image, images, strict=True)) | named_past(encoder.preset.history, past)
        save_png(arguments.picture, sheet(shown | ({} if goal is None else {GOAL: goal.rgb}), outputs_of(tokens)))
        print(f"{arguments.picture}: the images, and the principal components of their tokens")
    return 0
