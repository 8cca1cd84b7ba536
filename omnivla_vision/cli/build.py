"""`omnivla-vision build`: an engine bundle ahead of time, so that the first launch need not wait for it."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from omnivla_vision.cli.options import (
    ENGINES,
    PRECISIONS,
    add_checkpoint_options,
    add_gate_option,
    add_random_options,
)
from omnivla_vision.cli.paths import path
from omnivla_vision.cli.store_table import show_store

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from rich.progress import Progress, TaskID


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "build",
        help="build an engine bundle ahead of time",
        description="Build an engine for these weights and this machine, compare its tokens with the float32 "
        "reference, and keep it where the node will find it. Nothing is built twice. A build that does not fit into "
        "memory, or whose tokens are wrong, is refused with the numbers. What failed is remembered, and is not tried "
        "again until weights, versions or machine are others, or with --retry.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "checkpoint", nargs="?", metavar="CHECKPOINT", help="folder or file of the weights, hub:NAME, or random"
    )
    what.add_argument("--list", action="store_true", help="show what was built, and what was refused and why")
    parser.add_argument("--retry", action="store_true", help="forget what was refused, and try again")
    add_checkpoint_options(parser)
    add_random_options(parser)
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="what runs the network (%(default)s)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="what it computes in (the engine's best here)"
    )
    parser.add_argument("--images", type=int, default=1, metavar="N", help="images per call (%(default)s)")
    parser.add_argument(
        "--entry", choices=("uint8", "stack"), default="uint8", help="pixels, or normalized stacks (%(default)s)"
    )
    parser.add_argument("--bundle-dir", type=path, metavar="DIR", help="where bundles are kept (the user's cache)")
    add_gate_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build, and say what came of it; or list."""
    # Here and not above: torch takes seconds to import, and --help should not.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from omnivla_vision.engine.select import build_engine
    from omnivla_vision.engine.store_folder import default_store, expand_store
    from omnivla_vision.weights import open_weights

    bundle_dir = expand_store(arguments.bundle_dir) if arguments.bundle_dir else default_store()
    if arguments.list:
        show_store(bundle_dir)
        return 0
    weights = open_weights(
        arguments.checkpoint,
        preset=arguments.preset,
        seed=arguments.seed,
        distribution=arguments.weights,
        lora_alpha=arguments.lora_alpha or None,
        lora_adapter=arguments.lora_adapter or None,
        encoder_weights=arguments.encoder_weights or None,
        image_path=arguments.image_path,
        region=arguments.region,
        mask=arguments.mask,
    )
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn(), console=console
    ) as progress:
        logger = logging.getLogger("omnivla_vision.engine")
        logger.setLevel(logging.INFO)
        logger.addHandler(_Steps(progress, progress.add_task("starting")))
        engine = build_engine(
            weights.load,
            preset=weights.preset,
            fingerprint=weights.backbone_fingerprint,
            engine=arguments.engine,
            precision=arguments.precision,
            images=arguments.images,
            entry=arguments.entry,
            bundle_dir=bundle_dir,
            tolerance=arguments.gate_tolerance,
            retry=arguments.retry,
        )
    print(f"{engine.name} in {engine.precision} is ready in {bundle_dir}")
    if engine.notice:
        print(engine.notice)
    return 0


class _Steps(logging.Handler):
    """Shows the engine's log as the step that the build is at."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        super().__init__()
        self._progress = progress
        self._task = task

    def emit(self, record: logging.LogRecord) -> None:
        from rich.text import Text

        if record.levelno > logging.INFO:
            self._progress.console.print(Text(record.getMessage()))
        else:
            self._progress.update(self._task, description=record.getMessage())
