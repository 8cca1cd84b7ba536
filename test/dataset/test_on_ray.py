"""The same rows from a real cluster of two nodes, whatever dies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("lance")
pytest.importorskip("ray")

from omnivla_vision.dataset.bag_recording import BagOptions, open_recording
from omnivla_vision.dataset.on_ray import RayRunner
from omnivla_vision.dataset.recording import Recording
from omnivla_vision.dataset.run import LocalRunner, Summary, add_missing
from omnivla_vision.dataset.store import TokenStore
from omnivla_vision.dataset.worker import Done, Job, Request, Worker
from omnivla_vision.loading import EncoderOptions
from test.dataset.conftest import write_drive
from test.dataset.killing import Killing
from test.dataset.ray_nodes import Nodes, can_mount

pytestmark = pytest.mark.slow

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
        self.bags = [write_drive(folder / f"drive{i}", FRAMES, first=100 * i) for i in range(4)]

    def start_second(self) -> None:
        self.nodes.start(SECOND, mounts=[(self.instead, self.hidden)] if can_mount() else ())

    def recordings(self) -> list[Any]:
        return [open_recording(bag, BagOptions())[0] for bag in self.bags]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    nodes = Nodes()
    try:
        nodes.start(HEAD)
        bench = Bench(nodes, tmp_path_factory.mktemp("bench"))
        bench.start_second()
        yield bench
    finally:
        nodes.stop()


def request(uri: Path, **options: Any) -> Request:
    return Request(uri=str(uri), encoder=EncoderOptions(preset="small", engine="eager", threads=1, **options))


def make(
    bench: Bench, request: Request, recordings: Sequence[Recording], told: Told | None = None, **options: Any
) -> Summary:
    told = told or Told()
    with (
        TokenStore(request.uri).held() as store,
        RayRunner(request, address=bench.nodes.address, **options) as runner,
    ):
        return add_missing(store, recordings, {}, lambda: runner, told, {})


def rows(uri: Path) -> Any:
    from omnivla_vision.dataset.store import open_dataset

    return open_dataset(str(uri)).to_table()


@pytest.fixture(scope="module")
def local(bench: Bench) -> Any:
    """What one process makes of the bags."""
    wanted = request(bench.folder / "local.lance")
    with TokenStore(wanted.uri).held() as store:
        add_missing(store, bench.recordings(), {}, lambda: LocalRunner(Worker(wanted)), Told(), {})
    return rows(bench.folder / "local.lance")


def test_two_nodes_make_the_rows_of_one_process(bench: Bench, local: Any) -> None:
    told = Told()
    summary = make(bench, request(bench.folder / "two.lance"), bench.recordings(), told)
    assert rows(bench.folder / "two.lance").equals(local)
    assert [episode.index for episode in summary.added] == [0, 1, 2, 3]
    assert told.last == {recording.id: FRAMES for recording in bench.recordings()}


def test_a_killed_worker(bench: Bench, local: Any, tmp_path: Path) -> None:
    told = Told()
    recordings = bench.recordings()
    recordings[1] = Killing(recordings[1], "worker", tmp_path)
    make(bench, request(bench.folder / "killed.lance"), recordings, told)
    assert (tmp_path / "0").exists()
    assert told.began_ids.count(recordings[1].id) == 2
    assert any("was lost" in sentence for sentence in told.sentences), told.sentences
    assert rows(bench.folder / "killed.lance").equals(local)


def test_a_killed_node(bench: Bench, local: Any, tmp_path: Path) -> None:
    told = Told()
    recordings = [Killing(recording, "raylet", tmp_path, node=SECOND) for recording in bench.recordings()]
    try:
        make(bench, request(bench.folder / "node.lance"), recordings, told)
    finally:
        bench.start_second()
    assert (tmp_path / "0").exists()
    assert len(told.began_ids) == 5
    assert rows(bench.folder / "node.lance").equals(local)
