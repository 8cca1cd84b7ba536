"""`omnivla-vision encode`: the node's pipeline on image files, without ROS."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from omnivla_vision.cli.options import add_encoder_options, add_max_pixels_option, load
from omnivla_vision.cli.paths import path
from omnivla_vision.tokens.packing import DTYPES

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "encode",
        help="encode image files into a .safetensors file, without ROS",
        description="Encode an image, and a goal image if there is one, exactly as the node does. Without a goal its "
        "tokens are zeros. The file holds `tokens` [1, tokens, width], and in its metadata what computed them.",
    )
    parser.add_argument("--image", type=path, required=True, metavar="A", help="the current image (JPEG, PNG, WebP)")
    parser.add_argument("--goal", type=path, metavar="B", help="the goal image")
    add_max_pixels_option(parser)
    # The reference, not the node's choice for this machine: two machines should agree.
    add_encoder_options(parser, engine="eager")
    parser.add_argument("--no-goal", dest="takes_goal", action="store_false", help="no rows for a goal (OpenVLA)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="number format of the file (%(default)s)")
    parser.add_argument("--out", type=path, required=True, metavar="FILE", help="the .safetensors file to write")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Encode and write."""
    # Here and not above: torch takes seconds to import, and --help should not.
    import torch
    from safetensors.torch import save

    from omnivla_vision.goal import Goal
    from omnivla_vision.images.files import read_rgb
    from omnivla_vision.output_files import check_file, write
    from omnivla_vision.tokens.packing import pack, unpack_torch

    check_file(arguments.out)
    read = partial(read_rgb, max_pixels=arguments.max_image_pixels)
    current = read(arguments.image)
    goal = Goal(rgb=read(arguments.goal)) if arguments.goal else None
    encoder = load(arguments).encoder
    layout = encoder.layout
    check_file(arguments.out, layout.rows * layout.width * DTYPES[arguments.dtype].bits // 8)
    encoder.set_goal(goal)
    token_set = encoder.encode(current)
    # Through the node's own packing, so that the same values are refused and rounded the same way.
    tokens: torch.Tensor = unpack_torch(pack(token_set.blocks, arguments.dtype)).unsqueeze(0)
    metadata = {**asdict(token_set.provenance), "space": token_set.layout.space, "goal_id": goal.id if goal else ""}
    write(arguments.out, save({"tokens": tokens}, metadata=metadata))
    print(f"{arguments.out}: tokens {list(tokens.shape)} {arguments.dtype}")
    return 0
