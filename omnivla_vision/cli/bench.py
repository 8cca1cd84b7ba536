"""`omnivla-vision bench`: how fast every engine is here, and how far from the reference's numbers."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from omnivla_vision.cli.options import add_distribution_option
from omnivla_vision.cli.paths import path
from omnivla_vision.network.presets import DEFAULT_PRESET, PRESETS

if TYPE_CHECKING:
    from argparse import _SubParsersAction

TABLE_WIDTH = 130
COLUMNS = ("engine", "precision", "images", "median ms", "p95", "fps", "vs reference", "of roof", "RSS MB", "load s",
           "build s", "cosine")  # fmt: skip


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure every engine on this machine",
        description="Build and measure every engine and precision that this machine can run, with random weights: a "
        "camera frame with a cached goal (images: 1) and two images at once (images: 2), in turn with the reference "
        "path (timm, float32, both images at every tick) if timm is installed, and against the machine's best matrix "
        "product. Other programs disturb the measurement.",
    )
    parser.add_argument("--preset", choices=PRESETS, default=DEFAULT_PRESET, help="which encoders (%(default)s)")
    add_distribution_option(parser)
    parser.add_argument("--depth", type=int, default=0, metavar="N", help="blocks per encoder (the preset's)")
    parser.add_argument("--engine", action="append", default=[], metavar="E", help="only this one; may be repeated")
    parser.add_argument("--precision", action="append", default=[], metavar="P", help="only this one; may be repeated")
    parser.add_argument("--images", type=int, action="append", choices=(1, 2), help="only this; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="pairs per row (%(default)s)")
    parser.add_argument("--no-reference", action="store_true", help="leave out timm")
    parser.add_argument("--bundle-dir", type=path, metavar="DIR", help="where bundles are kept (the user's cache)")
    parser.add_argument("--json", type=path, metavar="FILE", help="write the report")
    parser.add_argument("--chart", type=path, metavar="FILE", help="write a bar chart as PNG")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, show and write."""
    # Here and not above: torch takes seconds to import, and --help should not.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    from omnivla_vision.bench.chart import draw
    from omnivla_vision.bench.measure_one import Job
    from omnivla_vision.bench.runner import Plan
    from omnivla_vision.bench.runner import run as measure
    from omnivla_vision.engine.start import get_backend
    from omnivla_vision.engine.store_folder import default_store, expand_store
    from omnivla_vision.output_files import check_file, write
    from omnivla_vision.progress import CountColumn, CountedProgress

    for file in filter(None, (arguments.json, arguments.chart)):
        check_file(file)
    for name in arguments.engine:
        get_backend(name)  # an unknown one is an error now, not after a minute
    bundle_dir = (expand_store(arguments.bundle_dir) if arguments.bundle_dir else default_store()).absolute()
    base = Job(
        role="engine",
        preset=arguments.preset,
        depth=arguments.depth,
        weights=arguments.weights,
        bundle_dir=str(bundle_dir),
    )
    plan = Plan(
        base=base,
        engines=tuple(arguments.engine),
        precisions=tuple(arguments.precision),
        images=tuple(arguments.images or (1, 2)),
        rounds=arguments.rounds,
        reference=not arguments.no_reference,
    )
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), CountColumn(), TimeElapsedColumn())
    with CountedProgress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=None)
        report = measure(
            plan, lambda what, done, steps: progress.update(task, description=what, completed=done, total=steps)
        )
    _show(report)
    if arguments.json:
        write(arguments.json, json.dumps(report, indent=1) + "\n")
    if arguments.chart:
        draw(report, arguments.chart)
    return 1 if report["failures"] else 0


def _show(report: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Wide enough for all columns also where there is no terminal to measure.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    table = Table(*COLUMNS, box=box.SIMPLE)
    for row in report["results"]:
        cosine = min(encoder["cosine_mean"] for encoder in row["parity"].values())
        latency = row["latency_ms"]
        cells = (
            row["engine"], row["precision"], row["images"], f"{latency['median']:.1f}", f"{latency['p95']:.1f}",
            row["fps"], _optional(row["speedup_vs_reference"], "{:.2f}x"), _optional(row["fraction_of_roof"], "{:.0%}"),
            row["rss_mb"], row["load_s"], row["build_s"], f"{cosine:.6f}",
        )  # fmt: skip
        table.add_row(*(Text(str(cell)) for cell in cells))
    console.print(table)
    roof = ", ".join(f"{precision} {rate:.0f}" for precision, rate in report["roof"].items())
    console.print(Text(f"{report['weights']} random weights; {report['gflop_per_image']} GFLOP per image"))
    console.print(Text(f"matrix roof, GFLOP/s: {roof}"))
    if report["reference"]:
        reference = report["reference"]
        console.print(Text(f"reference ({reference['path']}): {reference['latency_ms']['median']:.0f} ms"))
    else:
        console.print("reference: not measured (timm is not installed, or --no-reference)")
    for failure in report["failures"]:
        console.print(Text.assemble(("failed:", "red"), f" {failure}"))


def _optional(value: float | None, pattern: str) -> str:
    return "-" if value is None else pattern.format(value)
