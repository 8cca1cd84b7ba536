"""Two nodes, drives, and runs on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnivla_vision.dataset.cluster.on_ray import RayRunner
from omnivla_vision.dataset.making.run import Summary, add_missing
from omnivla_vision.dataset.making.worker import Done, Job, Request
from omnivla_vision.dataset.recording import Recording
from omnivla_vision.dataset.recordings.bag_recording import BagRecording, open_recording
from omnivla_vision.dataset.recordings.row_options import RowOptions
from omnivla_vision.dataset.store import TokenStore, open_dataset
from test.dataset.conftest import write_drive
from test.dataset.ray_nodes import Nodes, can_mount
from test.dataset.tiny_options import TinyOptions
from test.replay.conftest import TINY

HEAD, SECOND = "127.0.0.1", "127.0.0.2"
FRAMES = 8


class Told:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.began_ids: list[str] = []
        self.last: dict[str, int] = {}

    def plan(self, jobs: Sequence[Job]) -> None:
        pass

    def began(self, job: Job) -> None:
        self.began_ids.append(job.recording.id)

    def frames(self, job: Job, done: int) -> None:
        self.last[job.recording.id] = done

    def ended(self, done: Done) -> None:
        pass

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


class Bench:
    """Two nodes, and folders that both see, or only the first."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self.nodes = nodes
        self.folder = folder
        self.hidden = folder / "hidden"  # the second node sees `instead` in this place
        self.instead = folder / "instead"
        for made in (self.hidden, self.instead):
            made.mkdir()
        places = [folder, folder, self.hidden, folder]
        self.bags = [write_drive(place / f"drive{i}", FRAMES, first=100 * i) for i, place in enumerate(places)]

    def start_second(self) -> None:
        self.nodes.start(SECOND, mounts=[(self.instead, self.hidden)] if can_mount() else ())

    def recordings(self) -> list[Any]:
        return [open_recording(bag, RowOptions())[0] for bag in self.bags]


def request(uri: Path, **options: Any) -> Request:
    return Request(uri=str(uri), encoder=TinyOptions(preset=TINY.name, engine="eager", threads=1, **options))


def make(
    bench: Bench, request: Request, recordings: Sequence[Recording], told: Told | None = None, **options: Any
) -> Summary:
    told = told or Told()
    with (
        TokenStore(request.uri).held() as store,
        RayRunner(request, address=bench.nodes.address, **options) as runner,
    ):
        return add_missing(store, recordings, {}, lambda: runner, told, {})


def opened(uri: Path) -> Any:
    return open_dataset(str(uri))


def rows(uri: Path) -> Any:
    return opened(uri).to_table()


def bag(path: Path, frames: int, *, first: int = 0) -> BagRecording:
    return open_recording(write_drive(path, frames, first=first), RowOptions())[0]
