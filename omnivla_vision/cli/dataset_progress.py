"""How far a dataset is: a bar for all recordings, one for each that is being read, and a line for each that is done."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from omnivla_vision.dataset.making.run import Watcher
from omnivla_vision.dataset.making.worker import Done, Job
from omnivla_vision.progress import CountColumn, CountedProgress


class _RateColumn(ProgressColumn):
    """Frames per second, of late."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} frames/s" if task.speed else "", style="progress.data.speed")


class Bars(Watcher):
    """Draws on stderr; a context manager."""

    def __init__(self) -> None:
        self._progress = CountedProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            CountColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, highlight=False),
        )
        self._tasks: dict[int, TaskID] = {}
        self._counts: dict[int, int] = {}
        self._all: TaskID | None = None
        self._recordings = 0

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def plan(self, jobs: Sequence[Job]) -> None:
        """See `Watcher`."""
        expected = [job.recording.expected for job in jobs]
        total = None if None in expected else sum(count or 0 for count in expected)
        self._recordings = len(jobs)
        self._all = self._progress.add_task(self._title(), total=total)

    def began(self, job: Job) -> None:
        """See `Watcher`; once more, if a worker was lost."""
        name = job.recording.id.partition("@")[0]
        if job.index in self._tasks:
            self._progress.remove_task(self._tasks[job.index])
        self._tasks[job.index] = self._progress.add_task(f"  {name}", total=job.recording.expected)

    def frames(self, job: Job, done: int) -> None:
        """See `Watcher`."""
        self._counts[job.index] = done
        if job.index in self._tasks:
            self._progress.update(self._tasks[job.index], completed=done)
        if self._all is not None:
            self._progress.update(self._all, completed=sum(self._counts.values()))

    def ended(self, done: Done) -> None:
        """See `Watcher`."""
        task = self._tasks.pop(done.job.index, None)
        if task is not None:
            self._progress.remove_task(task)
        name = done.job.recording.id.partition("@")[0]
        if done.episode is None:
            self.say(f"{name}: not used: {done.problem}", style="bold red")
        else:
            rejected = f", {counted(done.episode.rejected, 'frame')} rejected" if done.episode.rejected else ""
            self.say(f"{name}: {counted(done.episode.rows, 'row')}{rejected}")
            for sentence in (*done.episode.problems, *done.episode.notes):
                self.say(f"  {sentence}", style="yellow")
        if self._all is not None:
            self._progress.update(self._all, description=self._title())

    def say(self, sentence: str, style: str = "") -> None:
        """See `Watcher`."""
        self._progress.console.print(Text(sentence, style=style), soft_wrap=True)

    def _title(self) -> str:
        return counted(self._recordings, "recording")


def counted(number: int, thing: str) -> str:
    """1 row, 2 rows."""
    return f"{number} {thing}{'s' * (number != 1)}"
