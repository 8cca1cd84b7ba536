"""DataLoader's workers, however they start; and a dataset that others write while it is read."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("lance")

import lance
import torch
from torch.utils.data import DataLoader

from omnivla_vision.dataset import Hindsight, TokenDataset
from omnivla_vision.dataset.errors import DatasetChangedError, DatasetReadError
from test.dataset.random_rows import TWIST, drive, write
from test.processes import wait_for

# Lance warns before every fork, of what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:lance is not fork-safe")
GOAL = Hindsight(frames=(1, 6), none_share=0.2)


@pytest.fixture
def uri(tmp_path: Path) -> Path:
    twists = [{"linear": [n, 0, 0], "angular": [0, 0, n], "age_s": 0.0} for n in range(20)]
    values = {episode: {"/cmd_vel": twists} for episode in (0, 1)}
    return write(tmp_path / "d", {0: drive(20), 1: drive(20)}, kinds={"/cmd_vel": TWIST}, values=values)


def opened(uri: Path) -> TokenDataset:
    return TokenDataset(uri, goal=GOAL, columns=["/cmd_vel"], window=range(4))


def batches(data: TokenDataset, **options: Any) -> list[dict[str, Any]]:
    return list(DataLoader(data, batch_size=5, timeout=60 * bool(options), **options))


def equal(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in pairs)


@pytest.mark.parametrize(
    ("start", "reads_before"),
    [("fork", False), ("fork", True), ("forkserver", True), pytest.param("spawn", True, marks=pytest.mark.slow)],
)
def test_workers_read_what_this_process_reads(uri: Path, start: str, reads_before: bool) -> None:
    data = opened(uri)
    if reads_before:
        batches(data)
    found = batches(data, num_workers=2, multiprocessing_context=start)
    assert equal(found, batches(data))


def test_many_forks_in_a_row(uri: Path) -> None:
    """Lance itself hangs or crashes in one of them."""
    data = opened(uri)
    expected = batches(data)
    for _ in range(3):
        assert equal(batches(data, num_workers=1, multiprocessing_context="fork"), expected)


def test_a_new_epoch_reaches_workers_that_stay(uri: Path) -> None:
    data = opened(uri)
    loader = DataLoader(
        data, batch_size=5, num_workers=1, multiprocessing_context="fork", persistent_workers=True, timeout=60
    )
    first = list(loader)
    data.set_epoch(1)
    second = list(loader)
    assert equal(second, batches(data))
    assert not equal(second, first)


def test_rows_that_are_added_meanwhile_are_not_seen(uri: Path) -> None:
    data = opened(uri)
    before = batches(data)
    values = {2: {"/cmd_vel": [None] * 20}}
    write(uri, {2: drive(20)}, kinds={"/cmd_vel": TWIST}, values=values)
    now = lance.dataset(str(uri))
    now.cleanup_old_versions(older_than=timedelta(0))
    assert len(now.versions()) == 1
    copy = pickle.loads(pickle.dumps(data))  # noqa: S301
    for seen in (data, copy):
        assert equal(batches(seen), before)
    assert equal(batches(data, num_workers=1, multiprocessing_context="fork"), before)
    assert len(opened(uri)) == 3 * 19


def test_another_dataset_at_the_same_place_is_refused(uri: Path) -> None:
    data = opened(uri)
    shutil.rmtree(uri)
    unknown = {0: {"/cmd_vel": [None] * 15}, 1: {"/cmd_vel": [None] * 30}}
    write(uri, {0: drive(15), 1: drive(30)}, kinds={"/cmd_vel": TWIST}, values=unknown)
    copy = pickle.loads(pickle.dumps(data))  # noqa: S301
    with pytest.raises(DatasetChangedError, match="found other rows"):
        copy[0]


def test_rows_that_were_deleted_are_not_seen_and_end_other_processes(uri: Path) -> None:
    data = opened(uri)
    before = batches(data)
    lance.dataset(str(uri)).delete("episode_index = 0")
    assert equal(batches(data), before)  # which holds on to what it opened
    later = opened(uri)
    assert len(later) == 19
    assert torch.equal(later[3]["tokens"], data[19 + 3]["tokens"])
    copy = pickle.loads(pickle.dumps(data))  # noqa: S301
    with pytest.raises((DatasetChangedError, DatasetReadError)):
        copy[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataset_that_is_gone_is_told(uri: Path, workers: int) -> None:
    data = opened(uri)
    shutil.rmtree(uri / "data")
    options = {"num_workers": 1, "multiprocessing_context": "fork"} if workers else {}
    with pytest.raises(DatasetReadError, match="cannot read"):
        batches(data, **options)


def _read_and_wait(data: TokenDataset, ready: Any) -> None:
    data[0]
    ready.set()
    time.sleep(300)


def test_the_process_that_reads_ends_with_its_worker(uri: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    worker = context.Process(target=_read_and_wait, args=(opened(uri), ready), daemon=True)
    worker.start()
    assert ready.wait(60)
    assert worker.pid is not None
    (reader,) = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    assert b"reader_process" in Path(f"/proc/{reader}/cmdline").read_bytes()
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    wait_for(lambda: not _lives(reader), "the end of the process that reads")


def _lives(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(") ")[1][0] != "Z"  # nobody may be there to bury it
    except OSError:
        return False
