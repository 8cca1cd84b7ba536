"""`omnivla-vision dataset` without the parsing: what is missing is encoded, and committed recording by recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from omnivla_vision.dataset.columns import schema_of
from omnivla_vision.dataset.description import Description
from omnivla_vision.dataset.errors import DatasetWriteError
from omnivla_vision.dataset.making.worker import Done, Job, Worker
from omnivla_vision.dataset.recording import Episode, Recording
from omnivla_vision.dataset.store import TokenStore


class Watcher(Protocol):
    """Is told how far the work is: for progress bars."""

    def plan(self, jobs: Sequence[Job]) -> None:
        """All that will be done."""
        ...

    def began(self, job: Job) -> None:
        """A recording is being encoded; said once more if its worker was lost."""
        ...

    def frames(self, job: Job, done: int) -> None:
        """So many of its frames were read."""
        ...

    def ended(self, done: Done) -> None:
        """It was encoded, or is broken."""
        ...

    def say(self, sentence: str) -> None:
        """Something that the user should know."""
        ...


class Runner(Protocol):
    """Who does the work: this process, or a cluster.

    Attributes:
        warnings: what the user should know of weights and engine; complete after `describe`.
    """

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def describe(self) -> Description:
        """Of the rows that will come; loads an encoder."""
        ...

    def run(self, jobs: Sequence[Job], watcher: Watcher) -> Iterator[Done]:
        """What came of the jobs, in their order, whoever was done first."""
        ...


class LocalRunner:
    """This process, one recording after the other."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `Runner`."""
        return self._worker.warnings

    def describe(self) -> Description:
        """See `Runner`."""
        return self._worker.description

    def run(self, jobs: Sequence[Job], watcher: Watcher) -> Iterator[Done]:
        """See `Runner`."""
        for job in jobs:
            watcher.began(job)
            done = self._worker.work(job, lambda count, job=job: watcher.frames(job, count))  # type: ignore[misc]
            watcher.ended(done)
            yield done


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run did.

    Attributes:
        added: episodes that are new in the dataset.
        present: recordings that were in it before.
        broken: path of a recording -> why it could not be used; those of this run.
    """

    added: tuple[Episode, ...]
    present: int
    broken: Mapping[str, str]


def missing_jobs(store: TokenStore, recordings: Sequence[Recording], say: Callable[[str], None]) -> list[Job]:
    """Those of the recordings that are not in the dataset; their order gives the episodes' indices."""
    present = {episode.id: episode for episode in store.episodes}
    missing = []
    for recording in recordings:
        episode = present.get(recording.id)
        if episode is None:
            missing.append(recording)
        elif episode.size != recording.size:
            delete = f"dataset.delete(\"episode = '{episode.id}'\")"
            say(
                f"{recording.path} has {recording.size} bytes, and had {episode.size} when its rows were made; these "
                f"stay as they are. If it has changed, delete them (Lance: {delete}) and run the command again."
            )
    start = max((episode.index for episode in present.values()), default=-1) + 1
    return [Job(index, recording) for index, recording in enumerate(missing, start=start)]


def add_missing(
    store: TokenStore,
    recordings: Sequence[Recording],
    unreadable: Mapping[str, str],
    runner: Callable[[], Runner],
    watcher: Watcher,
    values: Mapping[str, pa.DataType],
) -> Summary:
    """Encode what is missing, and commit each recording as soon as it and those before it are there.

    Args:
        store: held.
        recordings: in the order in which they are to become episodes.
        unreadable: path -> reason, of recordings that could not even be opened.
        runner: makes the one that works; not called if nothing is missing.
        watcher: told of progress.
        values: types of the columns of `Description.topics`.

    Raises:
        DifferentDatasetError: the dataset holds rows of another kind.
        DatasetWriteError: the storage refuses.
        VisionError: the encoder cannot be had.
    """
    jobs = missing_jobs(store, recordings, watcher.say)
    added: list[Episode] = []
    broken = dict(unreadable)

    def keep_broken() -> None:
        mended = {episode.path for episode in added}
        store.keep_broken({**{path: why for path, why in store.broken.items() if path not in mended}, **broken})

    try:
        if jobs:
            working = runner()
            description = working.describe()
            for warning in working.warnings:
                watcher.say(warning)
            store.create_or_join(description, values, schema_of(description, values))
            watcher.plan(jobs)
            for done in working.run(jobs, watcher):
                if done.episode is None:
                    broken[str(done.job.recording.path)] = done.problem
                else:
                    store.append(done.fragments)
                    added.append(done.episode)
    except BaseException:
        with suppress(DatasetWriteError):  # the reason for the end is another
            keep_broken()
        raise
    keep_broken()
    return Summary(added=tuple(added), present=len(recordings) - len(jobs), broken=broken)
