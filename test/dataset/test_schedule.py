"""Jobs come out in their order, whoever did them and whatever went wrong."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")
pytest.importorskip("lance")

from omnivla_vision.dataset.cluster.schedule import DEADLY, Schedule
from omnivla_vision.dataset.making.worker import Done, Job


@pytest.fixture
def jobs() -> list[Job]:
    """With the indices of a dataset that has five episodes already."""
    return [Job(index, SimpleNamespace(path=Path(f"/drives/{index}"))) for index in range(5, 9)]  # type: ignore[arg-type]


def test_what_is_done_waits_for_what_is_before_it(jobs: list[Job]) -> None:
    schedule = Schedule(jobs)
    taken = [schedule.take("a"), schedule.take("b"), schedule.take("a")]
    assert taken == jobs[:3]
    schedule.finish(Done(job=jobs[2]))
    schedule.finish(Done(job=jobs[1]))
    assert list(schedule.in_order()) == []
    assert schedule.open == 2
    schedule.finish(Done(job=jobs[0]))
    assert [done.job for done in schedule.in_order()] == jobs[:3]
    assert schedule.open == 1


def test_a_lost_job_is_next(jobs: list[Job]) -> None:
    schedule = Schedule(jobs)
    first, second = schedule.take("a"), schedule.take("b")
    assert first is not None
    assert schedule.lost(first, "gone", began=True) is None
    assert schedule.take("b") is first
    assert second is jobs[1]


def test_a_job_is_broken_that_no_worker_survives(jobs: list[Job]) -> None:
    schedule = Schedule(jobs)
    for _ in range(DEADLY - 1):
        assert schedule.take("a") is jobs[0]
        assert schedule.lost(jobs[0], "gone", began=True) is None
    broken = schedule.lost(jobs[0], "out of memory", began=True)
    assert broken is not None
    assert broken.episode is None
    assert "out of memory" in broken.problem


def test_workers_that_were_dead_before_are_no_fault_of_the_job(jobs: list[Job]) -> None:
    schedule = Schedule(jobs)
    for _ in range(2 * DEADLY):
        assert schedule.take("a") is jobs[0]
        assert schedule.lost(jobs[0], "gone", began=False) is None


def test_what_one_node_does_not_see_another_one_may(jobs: list[Job]) -> None:
    schedule = Schedule(jobs)
    assert schedule.take("a") is jobs[0]
    schedule.unseen(jobs[0], "a", "no such file")
    assert schedule.take("a") is jobs[1]
    assert list(schedule.give_up({"a", "b"})) == []
    assert schedule.take("b") is jobs[0]
    schedule.unseen(jobs[0], "b", "no such file")
    (broken,) = schedule.give_up({"a", "b"})
    assert broken.job is jobs[0]
    assert broken.problem.startswith("found nothing at /drives/5 on a, b (no such file)")
    assert schedule.take("a") is jobs[2]
