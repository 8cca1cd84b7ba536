"""The encoding thread around a network that is a constant: goals, refusals, failures, stopping and starting again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch

from benchmarks.constant_encoder import constant_encoder
from omnivla_vision.images.raw import RawImage, UndecodableImageError
from omnivla_vision.live.frames import Callbacks, Frame, GoalImage, Result
from omnivla_vision.live.worker import EncodeWorker
from omnivla_vision.network.presets import get_preset

BLACK: NDArray[np.uint8] = np.zeros((4, 6, 3), np.uint8)
WHITE = np.full((4, 6, 3), 255, np.uint8)
# Far more than is needed, also on a machine that does other things.
PATIENCE_S = 60.0


def raw(rgb: NDArray[np.uint8] = BLACK, **change: Any) -> RawImage:
    fields = {"data": rgb.tobytes(), "height": 4, "width": 6, "encoding": "rgb8", "step": 18, **change}
    return RawImage(**fields)


def frame(number: int, image: RawImage | None = None, goal: GoalImage | None = None) -> Frame[int]:
    return Frame(images=(image or raw(),), header=number, stamp_ns=number, received_s=time.perf_counter(), goal=goal)


class Owner:
    """Keeps what a worker tells; `publish` can be made to fail or to wait."""

    def __init__(self) -> None:
        self.results: list[Result[int]] = []
        self.goals: list[str] = []
        self.reports: list[tuple[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.at_gate = threading.Event()
        self.failure: Exception | None = None
        callbacks = Callbacks(
            publish=self._publish,
            report=lambda source, sentence: self.reports.append((source, sentence)),
            goal_changed=lambda goal: self.goals.append(goal.id if goal else ""),
            published=self._published,
        )
        self.now_ns = 0
        self.worker: EncodeWorker[int] = EncodeWorker(
            constant_encoder(get_preset("small")), callbacks, now_ns=lambda: self.now_ns
        )

    def _publish(self, result: Result[int]) -> None:
        self.at_gate.set()
        self.gate.wait(PATIENCE_S)
        if self.failure is not None:
            raise self.failure
        self.results.append(result)

    def _published(self, result: Result[int]) -> None:
        if result.frame.header == 666:
            raise RuntimeError("no picture")

    def hold(self, frame: Frame[int]) -> None:
        """Offer a frame whose publication waits for the gate, and return when it does."""
        self.gate.clear()
        self.at_gate.clear()
        self.worker.offer(frame)
        assert self.at_gate.wait(PATIENCE_S)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def settle(self, received: int) -> None:
        self.wait_for(lambda: self.counts.received == received and not self.counts.in_flight)

    @property
    def counts(self) -> Any:
        return self.worker.health.counts


@pytest.fixture
def owner() -> Iterator[Owner]:
    owner = Owner()
    owner.worker.start()
    yield owner
    owner.gate.set()
    owner.worker.stop()


def test_a_goal_takes_effect_with_the_next_frame(owner: Owner) -> None:
    owner.worker.offer(frame(1))
    owner.settle(1)
    owner.worker.offer_goal(GoalImage(image=raw(WHITE), stamp_ns=7))
    owner.worker.offer(frame(2))
    owner.settle(2)
    first, second = (result.tokens for result in owner.results)
    assert first.goal is None
    assert not first.tokens[256:].any()
    assert second.goal is not None
    assert torch.equal(second.tokens[256:], second.tokens[:256])
    assert owner.worker.health.goal_encodes == 1
    owner.worker.offer_goal(GoalImage(image=raw(WHITE), stamp_ns=8))
    owner.worker.offer(frame(3))
    owner.settle(3)
    assert owner.worker.health.goal_encodes == 1
    assert owner.goals == [second.goal.id]


def test_a_goal_that_waits_is_replaced_by_a_newer_one(owner: Owner) -> None:
    owner.hold(frame(1))
    for value in range(5):
        owner.worker.offer_goal(GoalImage(image=raw(np.full_like(BLACK, value)), stamp_ns=value))
    owner.worker.offer_goal(None)
    owner.worker.offer_goal(GoalImage(image=raw(WHITE), stamp_ns=9))
    owner.gate.set()
    owner.worker.offer(frame(2))
    owner.wait_for(lambda: bool(owner.goals) and len(owner.results) == 2)
    assert owner.worker.health.goal_encodes == 1


def test_every_way_to_lose_a_frame_is_counted(owner: Owner) -> None:
    owner.worker.offer(frame(1, raw(step=1)))
    assert owner.counts.rejected == 1  # at once
    assert owner.reports[-1] == ("camera", owner.worker.health.camera_problem)
    owner.failure = RuntimeError("no transport")
    owner.worker.offer(frame(2))
    owner.settle(2)
    assert owner.worker.health.camera_problem == "frame failed: RuntimeError: no transport"
    owner.failure = None
    owner.worker.max_frame_age_s = 1.0
    owner.now_ns = 10**12
    owner.worker.offer(frame(3))
    owner.settle(3)
    owner.now_ns = 0
    owner.worker.offer(frame(4))
    owner.settle(4)
    assert owner.worker.health.camera_problem == ""
    counts = owner.counts
    assert (counts.rejected, counts.failed, counts.stale, counts.published) == (1, 1, 1, 1)


def test_trouble_with_pictures_does_not_touch_the_books(owner: Owner) -> None:
    owner.worker.offer(frame(666))
    owner.settle(1)
    owner.wait_for(lambda: bool(owner.reports))
    assert "no picture" in owner.reports[-1][1]
    assert owner.counts.published == 1
    owner.worker.offer(frame(2))
    owner.settle(2)


class Undecodable(RawImage):
    """Its fields are right, and what is wrong inside is seen when it is decoded."""

    def rgb(self) -> NDArray[np.uint8]:
        raise UndecodableImageError("found noise; expected a picture")


def test_a_goal_that_waits_outlives_a_newer_one_that_is_no_image(owner: Owner) -> None:
    owner.hold(frame(1))
    owner.worker.offer_goal(GoalImage(image=raw(), stamp_ns=1))
    owner.worker.offer_goal(GoalImage(image=raw(WHITE), stamp_ns=2))
    for stamp in (3, 4):
        image = Undecodable(data=BLACK.tobytes(), height=4, width=6, encoding="rgb8", step=18)
        owner.worker.offer_goal(GoalImage(image=image, stamp_ns=stamp))
    owner.gate.set()
    owner.wait_for(lambda: owner.worker.health.goals_rejected == 2)
    health = owner.worker.health
    assert health.goal is not None
    assert health.goal.stamp_ns == 2
    assert health.goal_problem.startswith("goal image refused")
    assert health.goal_encodes == 1


def test_a_frame_with_its_own_goal(owner: Owner) -> None:
    owner.worker.offer(frame(1, goal=GoalImage(image=raw(WHITE), stamp_ns=1)))
    owner.settle(1)
    owner.worker.offer(frame(2, goal=GoalImage(image=raw(step=1), stamp_ns=2)))
    owner.settle(2)
    assert (owner.counts.published, owner.counts.rejected) == (1, 1)
    assert owner.results[0].tokens.goal is not None


def test_stopping_drops_what_waits_and_starting_again_goes_on(owner: Owner) -> None:
    owner.hold(frame(1))
    owner.worker.offer(frame(2))
    threading.Timer(0.1, owner.gate.set).start()
    owner.worker.stop()
    assert (owner.counts.published, owner.counts.superseded, owner.counts.in_flight) == (1, 1, 0)
    owner.worker.offer_goal(GoalImage(image=raw(WHITE), stamp_ns=1))  # without a thread, in the caller's
    assert owner.worker.health.goal is not None
    owner.worker.start()
    owner.worker.offer(frame(3))
    owner.settle(3)
    assert owner.results[-1].tokens.goal is not None


def test_a_clock_that_jumps_back_gives_up_the_frame_that_waits(owner: Owner) -> None:
    owner.hold(frame(1))
    owner.worker.offer(frame(2))
    owner.worker.clock_jumped_back()
    owner.gate.set()
    owner.settle(2)
    assert (owner.counts.published, owner.counts.stale) == (1, 1)


@pytest.mark.parametrize("receive_ms", [None, 0.25])
def test_a_stage_that_was_not_measured_is_left_out(owner: Owner, receive_ms: float | None) -> None:
    """A middleware that does not tell when it received a message did not receive it in no time."""
    owner.worker.offer(replace(frame(1), receive_ms=receive_ms))
    owner.settle(1)
    stages = owner.results[0].tokens.stage_ms
    assert stages.get("receive") == receive_ms
    assert [stages] == list(owner.worker.health.stage_ms)


def test_a_frame_that_grows_old_in_work_is_not_published(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine was suspended in the middle of the encode."""
    encode = owner.worker._encoder.encode

    def suspended(*arguments: Any, **options: Any) -> Any:
        owner.now_ns += 10**9
        return encode(*arguments, **options)

    owner.worker.max_frame_age_s = 0.5
    monkeypatch.setattr(owner.worker._encoder, "encode", suspended)
    owner.worker.offer(frame(1))
    owner.settle(1)
    monkeypatch.undo()
    owner.worker.offer(frame(owner.now_ns))
    owner.settle(2)
    assert [result.frame.header for result in owner.results] == [owner.now_ns]
    assert (owner.counts.published, owner.counts.stale) == (1, 1)


def test_long_work_goes_on_between_frames_and_survives_a_pause(owner: Owner) -> None:
    done: list[int] = []
    first = threading.Event()

    def work() -> Iterator[None]:
        for step in range(100_000):
            done.append(step)
            first.set()
            time.sleep(0.001)
            yield

    worker = owner.worker
    worker.offer_work(work())
    assert first.wait(PATIENCE_S)
    for number in range(5):  # no frame waits for the end of it
        worker.offer(frame(number))
        owner.wait_for(lambda number=number: len(owner.results) == number + 1)
    worker.stop()
    before = len(done)
    assert 0 < before < 100_000
    worker.start()
    owner.wait_for(lambda: len(done) > before)
    worker.stop()
    assert done == list(range(len(done)))


def test_work_that_fails_is_reported_and_frames_go_on(owner: Owner) -> None:
    def work() -> Iterator[None]:
        yield
        raise RuntimeError("the disk is gone")

    owner.worker.offer_work(work())
    owner.wait_for(lambda: bool(owner.reports))
    assert owner.reports == [("goal", "work between frames failed: RuntimeError: the disk is gone")]
    owner.worker.offer(frame(1))
    owner.wait_for(lambda: len(owner.results) == 1)


def test_a_goal_that_yields_leaves_one_that_waits(owner: Owner) -> None:
    owner.hold(frame(1))
    image, other = (GoalImage(image=raw(rgb), stamp_ns=1) for rgb in (WHITE, BLACK))
    assert owner.worker.offer_goal(image)
    assert not owner.worker.offer_goal(other, yields=True)
    owner.gate.set()
    owner.wait_for(lambda: len(owner.goals) == 1)
    assert owner.worker.offer_goal(other, yields=True)
    owner.wait_for(lambda: len(owner.goals) == 2)
