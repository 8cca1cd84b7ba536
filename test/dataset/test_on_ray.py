"""The same rows from a real cluster of two nodes, whatever dies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lance")
pytest.importorskip("ray")

from omnivla_vision import errors
from omnivla_vision.dataset.cluster import alike
from omnivla_vision.dataset.cluster.on_ray import RayRunner
from omnivla_vision.dataset.cluster.schedule import DEADLY
from omnivla_vision.dataset.errors import (
    ClusterError,
    DifferentDatasetError,
    DifferentNodeError,
    NodeRefusedError,
    NoRoomError,
    NotSharedError,
)
from omnivla_vision.dataset.making.run import LocalRunner, add_missing
from omnivla_vision.dataset.making.worker import Worker
from omnivla_vision.dataset.store import TokenStore
from omnivla_vision.network.presets import PRESETS
from test.dataset.killing import Killing
from test.dataset.ray_bench import FRAMES, HEAD, SECOND, Bench, Told, bag, make, opened, request, rows
from test.dataset.ray_nodes import Nodes, can_mount
from test.replay.conftest import TINY

pytestmark = pytest.mark.slow
needs_mounts = pytest.mark.skipif(not can_mount(), reason="no process may have mounts of its own here")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    nodes = Nodes()
    try:
        PRESETS[TINY.name] = TINY
        nodes.start(HEAD)
        bench = Bench(nodes, tmp_path_factory.mktemp("bench"))
        bench.start_second()
        yield bench
    finally:
        nodes.stop()
        del PRESETS[TINY.name]


@pytest.fixture(scope="module")
def local(bench: Bench) -> Any:
    """What one process makes of the bags."""
    wanted = request(bench.folder / "local.lance")
    with TokenStore(wanted.uri).held() as store:
        add_missing(store, bench.recordings(), {}, lambda: LocalRunner(Worker(wanted)), Told(), {})
    return rows(bench.folder / "local.lance")


def test_two_nodes_make_the_rows_of_one_process(bench: Bench, local: Any, tmp_path: Path) -> None:
    """Also with a bag that only one node sees, one that breaks off, and an actor that never finds room."""
    told = Told()
    recordings = bench.recordings()
    broken = bag(tmp_path / "broken", 300, first=50)
    (file,) = broken.path.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    gone = bag(tmp_path / "gone", 2)
    shutil.rmtree(gone.path)
    summary = make(
        bench, request(bench.folder / "two.lance"), [recordings[0], broken, gone, *recordings[1:]], told, actors=3
    )
    made = rows(bench.folder / "two.lance")
    kept = [name for name in made.column_names if name not in ("episode_index", "episode_record")]
    assert made.select(kept).equals(local.select(kept))
    assert [episode.index for episode in summary.added] == [0, 3, 4, 5]
    assert list(summary.broken) == [str(broken.path), str(gone.path)]
    assert "found nothing at" in summary.broken[str(gone.path)]
    assert {recording.id: told.last[recording.id] for recording in recordings} == {
        recording.id: FRAMES for recording in recordings
    }


def test_workers_that_are_killed(bench: Bench, local: Any, tmp_path: Path) -> None:
    """By a recording that works the next time, and by one that never does."""
    told = Told()
    recordings = bench.recordings()
    once, always = tmp_path / "once", tmp_path / "always"
    once.mkdir()
    always.mkdir()
    deadly = bag(tmp_path / "deadly", 5)
    recordings[1] = Killing(recordings[1], "worker", once)
    summary = make(
        bench,
        request(bench.folder / "killed.lance"),
        [*recordings, Killing(deadly, "worker", always, times=100)],
        told,
    )
    assert (once / "0").exists()
    assert told.began_ids.count(recordings[1].id) == 2
    assert rows(bench.folder / "killed.lance").equals(local)
    assert len(list(always.iterdir())) == DEADLY
    assert list(summary.broken) == [str(deadly.path)]
    assert f"{DEADLY} workers in a row were lost" in summary.broken[str(deadly.path)]
    lost = [sentence for sentence in told.sentences if "was lost" in sentence]
    assert len(lost) == 1 + DEADLY
    assert all("its worker process has died" in sentence for sentence in lost), lost


def test_a_node_that_is_killed(bench: Bench, local: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = Told()
    recordings = [Killing(recording, "raylet", tmp_path, node=SECOND) for recording in bench.recordings()]
    try:
        make(bench, request(bench.folder / "node.lance"), recordings, told)
    finally:
        bench.start_second()
    assert (tmp_path / "0").exists()
    assert len(told.began_ids) == 5
    assert f"a worker on node {SECOND} was lost: The actor" in told.sentences[-1]
    assert rows(bench.folder / "node.lance").equals(local)
    assert capfd.readouterr() == ("", "")  # Ray would print the raylet's log


def test_nothing_is_left_of_lost_workers(bench: Bench) -> None:
    """What they wrote and nobody committed is gone."""
    for name in ("killed.lance", "node.lance"):
        folder = bench.folder / name
        known = {file.path for fragment in opened(folder).get_fragments() for file in fragment.data_files()}
        assert {path.name for path in (folder / "data").iterdir()} == known


def test_rows_of_other_weights_do_not_join(bench: Bench, local: Any) -> None:
    more = [bag(bench.folder / "more", 2, first=900)]
    with pytest.raises(DifferentDatasetError, match="fingerprint"):
        make(bench, request(bench.folder / "local.lance", seed=7), more)


@needs_mounts
def test_a_node_that_makes_other_rows_is_named(bench: Bench, tmp_path: Path) -> None:
    """Its file of the same name is another one."""
    for place, masked in ((bench.hidden, 10), (bench.instead, 20)):
        mask = np.zeros((48, 64), np.uint8)
        mask[-masked:] = 255
        assert cv2.imwrite(str(place / "mask.png"), mask)
    wanted = request(bench.folder / "masked.lance", mask=str(bench.hidden / "mask.png"))
    waiting = [Killing(recording, "worker", tmp_path, node=SECOND) for recording in bench.recordings()]
    with pytest.raises(DifferentNodeError, match=r"node \S+ makes other rows than node \S+ \(preprocessing_id"):
        make(bench, wanted, waiting)


@needs_mounts
def test_a_dataset_that_is_not_shared(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the node does not see it, then it has another one in that place."""
    monkeypatch.setattr(alike, "VISIBLE_S", 0.5)
    waiting = [Killing(recording, "nobody", tmp_path, node=SECOND) for recording in bench.recordings()]
    with pytest.raises(NodeRefusedError, match=rf"on node {SECOND}: found no dataset at .*expected a folder that all"):
        make(bench, request(bench.hidden / "seen.lance"), waiting)
    shutil.copytree(bench.hidden / "seen.lance", bench.instead / "seen.lance")
    with pytest.raises(NotSharedError, match=rf"which node {SECOND} has written"):
        make(bench, request(bench.hidden / "seen.lance"), waiting)


def test_an_engine_that_no_node_has(bench: Bench) -> None:
    wanted = request(bench.folder / "none.lance")
    wanted = replace(wanted, encoder=replace(wanted.encoder, engine="tensorrt"))
    with pytest.raises(NodeRefusedError, match="tensorrt"):
        make(bench, wanted, bench.recordings())


def test_no_room(bench: Bench) -> None:
    with pytest.raises(NoRoomError, match=r"num_gpus 2.* for 2 s, whose nodes have in all: CPU 1, GPU 0"):
        make(bench, request(bench.folder / "none.lance"), bench.recordings(), num_gpus=2, patience_s=2)


@needs_mounts
def test_a_node_of_other_software_is_named(bench: Bench) -> None:
    """The only one with what Ray takes for a GPU, so that the actor goes there."""
    source = Path(errors.__file__)
    other = bench.folder / "errors.py"
    other.write_text(source.read_text() + "# changed\n")
    bench.nodes.start("127.0.0.3", "--num-gpus", "1", mounts=[(other, source)])
    with pytest.raises(DifferentNodeError, match=r"on node 127\.0\.0\.3; expected omnivla-vision of sources"):
        make(bench, request(bench.folder / "none.lance"), bench.recordings(), num_gpus=1)


def test_addresses_that_are_no_cluster(bench: Bench) -> None:
    for address, why in (("127.0.0.1:9", "nobody who answers"), ("ray://127.0.0.1:10001", "ray job submit")):
        with pytest.raises(ClusterError, match=why), RayRunner(request(bench.folder / "x"), address=address) as runner:
            runner.describe()
