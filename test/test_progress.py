"""Counted progress, also while the total is unknown."""

from __future__ import annotations

import io

from rich.console import Console
from rich.progress import BarColumn, TimeElapsedColumn

from omnivla_vision.progress import CountColumn, CountedProgress


def test_a_total_that_comes_later() -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=80)
    columns = (BarColumn(), CountColumn(), TimeElapsedColumn())
    with CountedProgress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task("frames", total=None)
        for changes, text in (({}, "0/?"), ({"completed": 7}, "7/?"), ({"total": 120}, "  7/120")):
            progress.update(task, **changes)
            console.print(progress)
            assert f" {text} " in shown.getvalue().splitlines()[-1]
        assert not progress.finished
        progress.update(task, completed=120)
        assert progress.finished


def test_a_total_that_is_known() -> None:
    progress = CountedProgress(CountColumn())
    task = progress.add_task("frames", total=2)
    progress.update(task, completed=1)
    assert not progress.finished
    assert progress.tasks[0].percentage == 50
