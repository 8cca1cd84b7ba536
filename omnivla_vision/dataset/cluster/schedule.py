"""Whose turn a job is when several workers take them, and what came of all of them, in their order."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Sequence

from omnivla_vision.dataset.making.worker import Done, Job

# A job that so many workers did not survive is broken itself.
DEADLY = 3


class Schedule:
    """Jobs are taken in their order, come back if their worker is lost, and are given out in their order when done.

    Args:
        jobs: each with an index of its own.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._order = deque(job.index for job in jobs)
        self._waiting = deque(jobs)
        self._done: dict[int, Done] = {}
        self._losses: Counter[int] = Counter()
        self._unseen: defaultdict[int, dict[str, str]] = defaultdict(dict)

    @property
    def open(self) -> int:
        """Jobs of which nothing has come yet."""
        return len(self._order) - len(self._done)

    @property
    def seen_nowhere(self) -> bool:
        """Whether a job waits that some node could not see."""
        return any(self._unseen[job.index] for job in self._waiting)

    def take(self, node: str) -> Job | None:
        """The next job for a worker on that node, if there is one that the node can see."""
        job = next((job for job in self._waiting if node not in self._unseen[job.index]), None)
        if job is not None:
            self._waiting.remove(job)
        return job

    def finish(self, done: Done) -> None:
        """It is done, or broken."""
        self._done[done.job.index] = done

    def lost(self, job: Job, reason: str, *, began: bool) -> Done | None:
        """Its worker was lost: somebody else does it, next of all; or, if it was the third, here is what came of it.

        Args:
            job: it.
            reason: what was found.
            began: whether the worker was alive when it was given the job.
        """
        self._losses[job.index] += began
        if self._losses[job.index] < DEADLY:
            self._waiting.appendleft(job)
            return None
        problem = (
            f"{DEADLY} workers in a row were lost while they encoded it, the last one because: {reason}; expected a "
            "recording that can be read; try it alone and without --ray"
        )
        return Done(job=job, problem=problem)

    def unseen(self, job: Job, node: str, problem: str) -> None:
        """It is not on that node, where that came of trying; perhaps it is on another one."""
        self._unseen[job.index][node] = problem
        self._waiting.appendleft(job)

    def give_up(self, nodes: Collection[str]) -> Iterator[Done]:
        """What came of the jobs that none of these nodes can see."""
        for job in list(self._waiting):
            tried = self._unseen[job.index]
            if tried and nodes and set(nodes) <= tried.keys():
                self._waiting.remove(job)
                problem = (
                    f"found nothing at {job.recording.path} on {', '.join(sorted(tried))} "
                    f"({next(iter(tried.values()))}); expected a recording that every node sees at the same path; "
                    "put it into a folder that they share"
                )
                yield Done(job=job, problem=problem)

    def in_order(self) -> Iterator[Done]:
        """Those that are done, as far as all before them are."""
        while self._order and self._order[0] in self._done:
            yield self._done.pop(self._order.popleft())
