"""The options that name weights and engine, the same in every command."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from omnivla_vision.cli.named_images import ForSomeImages
from omnivla_vision.cli.numbers import tolerance, whole_positive

if TYPE_CHECKING:
    from omnivla_vision.loading import EncoderOptions, LoadedEncoder

# Not imported from the engine package: that takes torch, which takes seconds, and --help should not.
ENGINES = ("auto", "eager", "onednn", "inductor", "onnxruntime", "tensorrt")
PRECISIONS = ("auto", "float32", "bfloat16", "float16", "mixed", "int8")
DISTRIBUTIONS = ("plain", "realistic")


def add_checkpoint_options(parser: argparse._ActionsContainer, *, preset: str = "dinosiglip-224") -> None:
    """Declare what `load_checkpoint` wants to know beside the path; `preset` is the one without a checkpoint."""
    parser.add_argument(
        "--preset",
        default="",
        metavar="P",
        help=f"which encoders: a name, or timm:ID[+ID] (as the checkpoint says, or {preset})",
    )
    parser.add_argument(
        "--encoder-weights",
        default="",
        metavar="W",
        help="stock encoders for a checkpoint trained with frozen ones: files, or hub:PRESET",
    )
    add_image_path_option(parser)
    add_view_options(parser)
    parser.add_argument(
        "--lora-alpha", type=float, default=0.0, metavar="A", help="alpha of LoRA weights without adapter_config.json"
    )
    parser.add_argument(
        "--lora-adapter", default="", metavar="DIR", help="LoRA adapter, PEFT's folder, to merge into the checkpoint"
    )


def add_image_path_option(parser: argparse._ActionsContainer) -> None:
    """Declare --image-path."""
    parser.add_argument(
        "--image-path",
        default="",
        metavar="I",
        help="what the policy's own code does to its images first: plain, omnivla, openvla, openvla-crop, "
        "openvla-oft, openvla-oft-crop, openpi, ... (as is assumed of the checkpoint, or the preset's)",
    )


def add_view_options(parser: argparse._ActionsContainer) -> None:
    """Declare --region and --mask."""
    parser.add_argument(
        "--region",
        action=ForSomeImages,
        default="",
        metavar="[NAME=]X,Y,W,H",
        help="what of each image is looked at, in fractions, or once for each camera and goal (all of it)",
    )
    parser.add_argument(
        "--mask",
        action=ForSomeImages,
        default="",
        metavar="[NAME=]PNG",
        help="the robot's own body, white, as large as the images, or once for each camera and goal (none)",
    )


def add_max_pixels_option(parser: argparse._ActionsContainer) -> None:
    """Declare --max-image-pixels; the default is the node's."""
    parser.add_argument(
        "--max-image-pixels", type=whole_positive, default=32_000_000, metavar="N", help="refuse larger (%(default)s)"
    )


def add_history_options(parser: argparse._ActionsContainer) -> None:
    """Declare --history-frames, --history-spacing, --history-tolerance and --history-pool."""
    parser.add_argument(
        "--history-frames", type=int, default=-1, metavar="N", help="past frames' tokens, too (-1: as the preset says)"
    )
    parser.add_argument(
        "--history-spacing", default="", metavar="S", help="how far apart: 5 (encoded frames), or 0.5s (by stamps)"
    )
    parser.add_argument(
        "--history-tolerance", type=float, default=0.0, metavar="T", help="seconds off its moment (half the spacing)"
    )
    parser.add_argument(
        "--history-pool", default="", metavar="POOL", help="none, 8x8, shuffle:2, ... (2x2, or as the preset says)"
    )


def add_random_options(parser: argparse._ActionsContainer) -> None:
    """Declare --seed and --weights, of random weights."""
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the random weights (%(default)s)")
    add_distribution_option(parser)


def add_distribution_option(parser: argparse._ActionsContainer) -> None:
    """Declare --weights."""
    parser.add_argument(
        "--weights",
        choices=DISTRIBUTIONS,
        default=DISTRIBUTIONS[0],
        help="random weights: benign, or with the outliers of real networks; no meaning in either (%(default)s)",
    )


def add_gate_option(parser: argparse._ActionsContainer) -> None:
    """Declare --gate-tolerance."""
    parser.add_argument(
        "--gate-tolerance",
        type=tolerance,
        default=1.0,
        metavar="X",
        help="accept engines up to X times the gate's limits, if you have measured your own task (%(default)s)",
    )


def add_engine_options(parser: argparse._ActionsContainer, *, engine: str = "auto") -> None:
    """Declare --engine, --precision, --bundle-dir, --read-only, --threads and --gate-tolerance."""
    parser.add_argument("--engine", choices=ENGINES, default=engine, help="what runs the network (%(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="what it computes in (%(default)s)")
    parser.add_argument("--bundle-dir", default="", metavar="DIR", help="where engines are kept (the user's cache)")
    parser.add_argument("--read-only", action="store_true", help="use engines that are built; build none")
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads of the network (as torch decides)"
    )
    add_gate_option(parser)


def add_weights_options(parser: argparse._ActionsContainer, *, preset: str = "dinosiglip-224") -> None:
    """Declare --checkpoint, and the options of the random weights of `preset` that take its place."""
    parser.add_argument(
        "--checkpoint", default="", metavar="C", help="folder or file of the weights, or hub:NAME (random weights)"
    )
    add_checkpoint_options(parser, preset=preset)
    add_random_options(parser)


def add_encoder_options(parser: argparse._ActionsContainer, *, engine: str = "auto") -> None:
    """Declare everything that an encoder is made of."""
    add_weights_options(parser)
    parser.add_argument(
        "--space", choices=("fused", "projected"), default="fused", help="with the projector or not (%(default)s)"
    )
    add_pool_option(parser)
    add_history_options(parser)
    add_engine_options(parser, engine=engine)


def add_pool_option(parser: argparse._ActionsContainer) -> None:
    """Declare --pool."""
    parser.add_argument(
        "--pool",
        dest="output_pool",
        default="",
        metavar="P",
        help="pool each image's patches: ROWSxCOLUMNS, shuffle:K, class, none (as the preset says)",
    )


def encoder_options(arguments: argparse.Namespace) -> EncoderOptions:
    """What the arguments say; options that the command does not have keep their defaults."""
    from omnivla_vision.loading import EncoderOptions

    names = {item.name for item in fields(EncoderOptions)}
    return EncoderOptions(**{name: value for name, value in vars(arguments).items() if name in names})


def node_parameters(arguments: argparse.Namespace) -> dict[str, object]:
    """The same as parameters of a node with one camera."""
    options = asdict(encoder_options(arguments))
    del options["cameras"]
    # These have groups of their own.
    options["gate.tolerance"] = options.pop("gate_tolerance")
    options["output.pool"] = options.pop("output_pool")
    for name in ("frames", "spacing", "tolerance", "pool"):
        options[f"history.{name}"] = options.pop(f"history_{name}")
    return options


def load(arguments: argparse.Namespace) -> LoadedEncoder:
    """The encoder that the arguments name; its warnings are printed to stderr.

    Raises:
        VisionError: it cannot be had; the message says why.
    """
    from omnivla_vision.loading import load_encoder

    loaded = load_encoder(encoder_options(arguments))
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    return loaded
