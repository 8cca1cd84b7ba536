"""Progress that is counted, of a total that may be unknown: rich has both only since its version 12."""

from __future__ import annotations

from typing import Any

from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text


class CountColumn(ProgressColumn):
    """How many, of how many: 37/120, or 37/? as long as no one knows."""

    def render(self, task: Task) -> Text:
        total = str(int(task.total)) if task.total else "?"
        return Text(f"{int(task.completed):{len(total)}}/{total}", style="progress.download")


class CountedProgress(Progress):
    """rich's, whose bar pulses until a total is known."""

    def add_task(
        self, description: str, start: bool = True, total: float | None = None, *args: Any, **options: Any
    ) -> TaskID:
        return super().add_task(description, start and total is not None, total or 0, *args, **options)

    def update(self, task_id: TaskID, *, total: float | None = None, **changes: Any) -> None:
        if total is not None:
            self.start_task(task_id)
        super().update(task_id, total=total, **changes)
