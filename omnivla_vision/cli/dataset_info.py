"""`omnivla-vision dataset info`: what is in a dataset, as tables, as JSON or as a page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from omnivla_vision.cli.paths import path

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from pathlib import Path

    from omnivla_vision.dataset.report.info import DatasetInfo

# Rows of the table of episodes; --json has all.
LISTED = 20
# Wide enough for all columns also where there is no terminal to measure.
TABLE_WIDTH = 160


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "dataset info",
        help="say what is in such a dataset",
        description="Say what is in a dataset of tokens: episodes, hours, gaps, topics, broken recordings, and the "
        "weights that made it.",
    )
    parser.add_argument("dataset", metavar="DIR", help="a dataset: a folder, or s3://... and the like")
    parser.add_argument("--html", type=path, metavar="FILE", help="write a page with frames, tokens and charts, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell."""
    from omnivla_vision.dataset.store import open_dataset
    from omnivla_vision.dataset.support import import_lance
    from omnivla_vision.output_files import check_file

    import_lance()
    if arguments.html is not None:
        check_file(arguments.html)
    dataset = open_dataset(arguments.dataset if "://" in arguments.dataset else str(path(arguments.dataset)))

    from omnivla_vision.dataset.report.examine import info_of

    info = info_of(dataset)
    if arguments.json:
        print(json.dumps(info.as_json(), indent=2))
    else:
        show(info)
    if arguments.html is not None:
        _write_page(arguments.html, dataset, info)
    return 0


def show(info: DatasetInfo) -> None:
    """Print the tables."""
    from rich.console import Console
    from rich.text import Text

    from omnivla_vision.dataset.report import info_text as text

    console = Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    console.print(Text(info.uri, style="bold"))
    console.print(Text(", ".join(f"{value} {label}" for value, label in text.headline(info))))
    if info.random:
        console.print(Text("RANDOM WEIGHTS: right shape, no meaning", style="bold red"))
    for sentence in text.warnings(info):
        console.print(Text(sentence, style="yellow"))
    console.print(_table(("", ""), [fact for fact in text.facts(info) if fact[1]], show_header=False))
    listed = info.episodes[:LISTED]
    console.print(_table(text.EPISODE_COLUMNS, map(text.episode_cells, listed), numbers=text.EPISODE_NUMBERS))
    if len(listed) < len(info.episodes):
        console.print(Text(f"... and {len(info.episodes) - LISTED:,} more episodes, which --json lists"))
    if info.topics:
        console.print(_table(text.TOPIC_COLUMNS, map(text.topic_cells, info.topics), numbers=text.TOPIC_NUMBERS))
    if info.broken:
        console.print(_table(("recordings that could not be used", "reason"), info.broken.items()))


def _table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = (), show_header: bool = True
) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_header=show_header, padding=(0, 0, 0, 1))  # narrow: they should fit into 80
    for place, name in enumerate(header):
        right = place in numbers
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        # As Text: rich would take brackets in a path for markup.
        table.add_row(*map(Text, row))
    return table


def _write_page(file: Path, dataset: Any, info: DatasetInfo) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn

    from omnivla_vision.dataset.report.page import dataset_page
    from omnivla_vision.output_files import write
    from omnivla_vision.progress import CountColumn, CountedProgress

    columns = (TextColumn("drawing episodes"), BarColumn(), CountColumn())
    with CountedProgress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")
        page = dataset_page(dataset, info, lambda done, total: progress.update(task, completed=done, total=total))
    write(file, page)
    print(f"wrote {file}", file=sys.stderr)
