"""What runs on a node of a Ray cluster: an actor that holds the encoder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import omnivla_vision
from omnivla_vision.dataset.description import Description
from omnivla_vision.dataset.making.worker import Done, Job, Request, Worker
from omnivla_vision.dataset.support import import_ray
from omnivla_vision.errors import VisionError

# What an actor takes beside what it took to load: frames ahead, batches that wait for the disk.
WORKING_BYTES = 300_000_000


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an actor is: Ray's id of its node, and the software there."""

    node: str
    software: str


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The encoder is there. `memory`: bytes that an actor like this one needs."""

    description: Description
    warnings: tuple[str, ...]
    memory: int


@dataclass(frozen=True)
class Refused:
    """The sentence of a `VisionError` that ends the run."""

    sentence: str


@dataclass(frozen=True)
class Unseen:
    """The recording is not on this node; what came of trying."""

    problem: str


class RayWorker:
    """A `Worker` on a node. Its methods return what happened, since not every exception survives the way back.

    Args:
        request: what is to be made.
        folder: relative paths begin there, if it exists on this node.
    """

    def __init__(self, request: Request, folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        self._request = request
        self._frames = 0

    def place(self) -> Place:
        """Answers as soon as there is room for the actor."""
        return Place(node=import_ray().get_runtime_context().get_node_id(), software=software())

    def load(self) -> Loaded | Refused:
        """Load the encoder; one actor of a node after the other, so that an engine is built once."""
        try:
            with _alone_on_node():
                self._worker = Worker(self._request)
        except VisionError as error:
            return Refused(str(error))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Loaded(description=self._worker.description, warnings=self._worker.warnings, memory=peak + WORKING_BYTES)

    def work(self, job: Job) -> Done | Unseen | Refused:
        """See `Worker.work`."""
        uri = self._request.uri
        if "://" not in uri and not Path(uri, "_versions").is_dir():
            return Refused(
                f"found no dataset at {uri}; expected a folder that all nodes share; name one with --out, or a place "
                "in an object store (s3://...)"
            )
        try:
            done = self._worker.work(job, self._count)
        except VisionError as error:
            return Refused(str(error))
        finally:
            self._frames = 0
        if done.problem and not job.recording.path.exists():
            return Unseen(done.problem)
        return done

    def progress(self) -> int:
        """Frames of the present job that were read; answered beside the work."""
        return self._frames

    def _count(self, frames: int) -> None:
        self._frames = frames


def software() -> str:
    """This Python and the package's sources, which must be the same on every node."""
    folder = Path(omnivla_vision.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return f"omnivla-vision of sources {digest.hexdigest()[:12]} on Python {platform.python_version()}"


@contextmanager
def _alone_on_node() -> Iterator[None]:
    """Held by one process of this user; the kernel lets go of it when that dies."""
    path = Path(tempfile.gettempdir(), f"omnivla_vision-{os.geteuid()}-load.lock")
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
