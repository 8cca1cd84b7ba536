"""`omnivla-vision doctor`: what this machine has, and what should be done about it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from omnivla_vision.cli.paths import path

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="versions, hardware, and which engines can run here",
        description="Show versions, GPU, memory and middleware settings, combinations that are known to break, "
        "which engines can run here or what they lack, and which were refused. Exit code 1 if something is known to "
        "break.",
    )
    parser.add_argument("--bundle-dir", type=path, metavar="DIR", help="where engines are kept (the user's cache)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine and report."""
    # Here and not above: torch takes seconds to import, and --help should not.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from omnivla_vision.doctor import examine

    findings = examine(arguments.bundle_dir)
    console = Console(highlight=False)
    for section in dict.fromkeys(finding.section for finding in findings):
        table = Table(title=section, title_justify="left", show_header=False, box=box.SIMPLE)
        for finding in findings:
            if finding.section == section:
                style = "red" if finding.broken else "yellow" if finding.advice else ""
                # As Text: rich would take an extra's brackets for markup.
                table.add_row(Text(finding.name), Text(finding.value, style=style), Text(finding.advice))
        console.print(table)
    return int(any(finding.broken for finding in findings))
