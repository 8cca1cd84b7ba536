"""Actors of a Ray cluster that load, work and get lost, as events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnivla_vision.dataset.cluster.ray_worker import RayWorker
from omnivla_vision.dataset.making.worker import Job, Request
from omnivla_vision.dataset.support import import_ray

# Between two questions to an actor how far it is.
PROGRESS_S = 1.0
# Methods of this group are answered beside the work.
_BESIDE = "beside"


@dataclass(frozen=True)
class Lost:
    """The actor is gone, with its process or its node, or cannot be reached; what it still does will not count."""

    reason: str


@dataclass(eq=False)
class PooledActor:
    """An actor, and what is known of it.

    Attributes:
        handle: Ray's.
        node: its address; empty until there is room for the actor.
        loaded: whether it has an encoder.
        job: what it does.
        began: whether it has the job in hand. It gets it when it has answered that it lives: an actor that is dead by
            then is no fault of the job's.
        answers: what it was asked and has not answered.
    """

    handle: Any
    node: str = ""
    loaded: bool = False
    job: Job | None = None
    began: bool = False
    answers: set[Any] = field(default_factory=set)
    _progress: Any = None
    _asked_s: float = 0.0

    def load(self) -> None:
        """Have it load the encoder."""
        self.answers.add(self.handle.load.remote())

    def meant_for(self, job: Job) -> None:
        """It is to do a job, if it answers."""
        self.job, self.began = job, False
        self.answers.discard(self._progress)
        self._ask_progress()

    def begin(self) -> None:
        """Give it that job."""
        self.began = True
        self.answers.add(self.handle.work.remote(self.job))

    def follow(self) -> None:
        """Ask how far it is, if that is not being asked, and not too soon."""
        if self.job and self._progress not in self.answers and time.monotonic() > self._asked_s + PROGRESS_S:
            self._ask_progress()

    def _ask_progress(self) -> None:
        self._asked_s = time.monotonic()
        self._progress = self.handle.progress.options(concurrency_group=_BESIDE).remote()
        self.answers.add(self._progress)


class Pool:
    """The actors of a run. Ray restarts none of them and repeats nothing: that is decided by whoever has the schedule.

    Args:
        request: what they make.
        demands: of each actor, by Ray's names: num_cpus, num_gpus, memory (bytes).
    """

    def __init__(self, request: Request, demands: dict[str, float]) -> None:
        self._ray = import_ray()
        self._request = request
        self.demands = demands
        self.actors: list[PooledActor] = []
        errors = self._ray.exceptions
        self._losses = (
            errors.RayActorError,
            errors.ActorUnschedulableError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
        )

    def grow(self, number: int) -> None:
        """Ask for actors until there are so many; Ray starts each as soon as there is room for it."""
        while len(self.actors) < number:
            kind = self._ray.remote(
                max_restarts=0,
                max_task_retries=0,
                concurrency_groups={_BESIDE: 1},
                scheduling_strategy="SPREAD",
                **self.demands,
            )(RayWorker)
            handle = kind.remote(self._request, str(Path.cwd()))
            place = handle.place.options(concurrency_group=_BESIDE).remote()
            self.actors.append(PooledActor(handle, answers={place}))

    def wait(self, timeout_s: float) -> Iterator[tuple[PooledActor, Any]]:
        """What happened meanwhile: returned by a method of `RayWorker`, or `Lost`.

        Args:
            timeout_s: how long to wait for the first event.

        Raises:
            RayTaskError: a method has raised something, which is an error of ours.
        """
        for actor in self.actors:
            actor.follow()
        asked = {answer: actor for actor in self.actors for answer in actor.answers}
        if not asked:
            return
        self._ray.wait(list(asked), timeout=timeout_s)
        ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
        for answer in ready:
            actor = asked[answer]
            if actor not in self.actors:  # lost just now
                continue
            actor.answers.remove(answer)
            try:
                event = self._ray.get(answer)
            except self._losses as error:
                self._remove(actor)
                event = Lost(_reason(error))
            yield actor, event

    def close(self) -> None:
        """End them all."""
        for actor in list(self.actors):
            self._remove(actor)

    def _remove(self, actor: PooledActor) -> None:
        self.actors.remove(actor)
        self._ray.kill(actor.handle)  # it may live on where nobody can reach it


def _reason(error: Exception) -> str:
    """Ray's own, in a line: its first says only that something was lost, those with a tab say which actor it was."""
    first, *others = str(error).splitlines() or [type(error).__name__]
    told = [line.strip() for line in others if line.strip() and not line.startswith("\t")]
    return (told or [first])[0][:300]
