"""A Ray cluster does the work: actors encode recordings, this process commits them in order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omnivla_vision.dataset.cluster.alike import require_rows, require_shared, require_software
from omnivla_vision.dataset.cluster.ray_cluster import Cluster
from omnivla_vision.dataset.cluster.ray_pool import PROGRESS_S, Lost, Pool, PooledActor
from omnivla_vision.dataset.cluster.ray_worker import Loaded, Place, Refused, Unseen, software
from omnivla_vision.dataset.cluster.schedule import Schedule
from omnivla_vision.dataset.description import Description
from omnivla_vision.dataset.errors import NodeRefusedError, NoRoomError
from omnivla_vision.dataset.making.run import Watcher
from omnivla_vision.dataset.making.worker import Done, Job, Request
from omnivla_vision.dataset.support import import_ray

# So long may all actors wait for room: a cluster that grows by itself starts a node in that time.
PATIENCE_S = 300.0
# So many actors in a row that do not survive loading are enough.
LOADING_LOSSES = 3


class RayRunner:
    """A `run.Runner`; a context manager that ends its actors. Nothing is started before `describe`.

    Args:
        request: what is to be made.
        address: see `Cluster`.
        actors: how many; those that find no room wait for it. 0: as many as fit, by CPUs, GPUs and memory.
        num_cpus: of each actor, which computes with as many threads, unless the request says how many.
        num_gpus: of each actor; parts of one are shared.
        patience_s: how long all actors may wait for room.

    Raises:
        RaySupportMissingError: Ray is not installed.
    """

    def __init__(
        self,
        request: Request,
        *,
        address: str = "",
        actors: int = 0,
        num_cpus: int = 1,
        num_gpus: float = 0.0,
        patience_s: float = PATIENCE_S,
    ) -> None:
        import_ray()
        uri = request.uri if "://" in request.uri else str(Path(request.uri).absolute())
        encoder = replace(request.encoder, threads=request.encoder.threads or num_cpus)
        self._uri = uri
        self._address = address
        self._wanted = actors
        self._patience_s = patience_s
        self._pool = Pool(replace(request, uri=uri, encoder=encoder), {"num_cpus": num_cpus, "num_gpus": num_gpus})
        self._cluster: Cluster | None = None
        self._software = software()
        self._warnings: list[str] = []
        self._description: tuple[Description, str] | None = None
        self._schedule = Schedule([])
        self._watcher: Watcher | None = None
        self._loading_losses = 0
        self._moved_s = 0.0

    def __enter__(self) -> RayRunner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._cluster is not None:
            self._pool.close()
            self._cluster.close()

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `Runner`."""
        return tuple(self._warnings)

    def describe(self) -> Description:
        """See `Runner`; of the first actor.

        Raises:
            ClusterError: there is no cluster.
            NoRoomError: no actor has room there, or none survives.
            NodeRefusedError: the encoder cannot be had.
            DifferentNodeError: the node has other software.
        """
        if self._cluster is None:
            self._cluster = Cluster(self._address)
            if self._cluster.local and not self._cluster.room(self._pool.demands):
                raise self._cluster.no_room(self._pool.demands)
            if not self._pool.demands["num_gpus"] and any(node.get("GPU") for node in self._cluster.nodes.values()):
                self._say("the cluster has GPUs, and none of them is used; --num-gpus 1 gives one to each actor")
        self._moved_s = time.monotonic()
        while self._description is None:
            self._turn(1)
        return self._description[0]

    def run(self, jobs: Sequence[Job], watcher: Watcher) -> Iterator[Done]:
        """See `Runner`.

        Raises:
            as `describe`, and:
            NotSharedError: what a node wrote is not here.
        """
        self.describe()
        self._schedule, self._watcher = Schedule(jobs), watcher
        self._moved_s = time.monotonic()
        while self._schedule.open:
            self._turn(min(self._wanted, self._schedule.open))
            yield from self._schedule.in_order()

    def _turn(self, actors: int) -> None:
        """Give jobs to those that have none, and see what happened."""
        if self._loading_losses < LOADING_LOSSES:
            self._pool.grow(actors)
        elif not self._pool.actors:
            self._pool.grow(1)
        idle = [actor for actor in self._pool.actors if actor.loaded and actor.job is None]
        for actor in idle:
            if (job := self._schedule.take(actor.node)) is not None:
                self._tell.began(job)
                actor.meant_for(job)
        for actor, event in self._pool.wait(PROGRESS_S):
            self._handle(actor, event)
        self._check_for_standstill()

    def _handle(self, actor: PooledActor, event: Any) -> None:
        if isinstance(event, int):
            if actor.job is not None and not actor.began:
                actor.begin()
            elif actor.job is not None:
                self._tell.frames(actor.job, event)
        elif isinstance(event, Place):
            self._placed(actor, event)
        elif isinstance(event, Loaded):
            self._loaded(actor, event)
        elif isinstance(event, Refused):
            raise NodeRefusedError(f"on node {actor.node}: {event.sentence}")
        elif isinstance(event, Lost):
            self._lost(actor, event.reason)
        elif actor.job is not None:
            job, actor.job = actor.job, None
            if isinstance(event, Unseen):
                self._schedule.unseen(job, actor.node, event.problem)
            else:
                self._finish(replace(event, job=job), actor.node)

    def _placed(self, actor: PooledActor, place: Place) -> None:
        actor.node = self._joined.address_of(place.node)
        require_software(self._software, place.software, actor.node)
        actor.load()

    def _loaded(self, actor: PooledActor, event: Loaded) -> None:
        actor.loaded, self._loading_losses = True, 0
        if self._description is None:
            self._description = event.description, actor.node
            self._warnings += event.warnings
            if not self._wanted:
                self._wanted = self._room(event.memory)
        require_rows(self._description, event.description, actor.node)

    def _say(self, sentence: str) -> None:
        if self._watcher is None:
            self._warnings.append(sentence)
        else:
            self._watcher.say(sentence)

    def _room(self, memory: int) -> int:
        """For how many actors, if each needs what the first one took; from now on they ask for it."""
        most = max(node.get("memory", 0) for node in self._joined.nodes.values())
        self._pool.demands["memory"] = min(memory, most)
        return max(1, sum(self._joined.room(self._pool.demands).values()))

    def _lost(self, actor: PooledActor, reason: str) -> None:
        where = f"a worker on node {actor.node}" if actor.node else "a worker"
        if not actor.loaded:
            self._loading_losses += 1
            self._say(f"{where} was lost while it loaded the encoder: {reason}")
            if self._loading_losses >= LOADING_LOSSES and not self._pool.actors:
                raise NoRoomError(
                    f"found that {LOADING_LOSSES} workers in a row were lost while they loaded the encoder, the last "
                    f"because: {reason}; expected nodes with the same omnivla-vision and enough memory; see Ray's logs"
                )
        elif actor.job is not None:
            broken = self._schedule.lost(actor.job, reason, began=actor.began)
            does = "is done by another one" if broken is None else "is given up"
            self._say(f"{where} was lost: {reason}; {actor.job.recording.path} {does}")
            if broken is not None:
                self._finish(broken, actor.node)

    def _finish(self, done: Done, node: str) -> None:
        require_shared(self._uri, done.fragments, node)
        if done.episode is not None:
            self._tell.frames(done.job, done.episode.rows + done.episode.rejected)
        self._tell.ended(done)
        self._schedule.finish(done)

    def _check_for_standstill(self) -> None:
        """What none of the nodes can see is broken; and if nobody works, since nobody finds room, that is the end."""
        actors = self._pool.actors
        if any(actor.job is not None or (actor.node and not actor.loaded) for actor in actors):
            self._moved_s = time.monotonic()
        impatient = time.monotonic() > self._moved_s + self._patience_s
        if impatient and not any(actor.loaded for actor in actors):
            raise self._joined.no_room(self._pool.demands, since=f" for {self._patience_s:.0f} s")
        if self._schedule.seen_nowhere:
            waiting = not impatient and any(not actor.node for actor in actors)
            nodes = self._joined.room(self._pool.demands) if waiting else {actor.node for actor in actors}
            for done in list(self._schedule.give_up(set(nodes) - {""})):
                self._finish(done, "")

    @property
    def _joined(self) -> Cluster:
        assert self._cluster is not None
        return self._cluster

    @property
    def _tell(self) -> Watcher:
        assert self._watcher is not None
        return self._watcher
