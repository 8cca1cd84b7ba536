"""Past frames in the encoding thread: whose stamps they go by, and what ends them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.constant_encoder import constant_encoder
from omnivla_vision.images.raw import RawImage
from omnivla_vision.live.frames import Callbacks, Frame
from omnivla_vision.live.worker import EncodeWorker
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.with_history import HistoryOptions, with_history

SECOND = 10**9
PATIENCE_S = 60.0


class Owner:
    """Offers one frame at a time, and says which past stamps came with it."""

    def __init__(self) -> None:
        self.past: list[tuple[int, ...]] = []
        self.refusals: list[str] = []
        preset = with_history(get_preset("small"), HistoryOptions(frames=2, spacing="1s"))
        callbacks = Callbacks(
            publish=lambda result: self.past.append(result.tokens.past_stamps_ns),
            report=lambda source, sentence: self.refusals.append(sentence),
        )
        self.worker: EncodeWorker[None] = EncodeWorker(constant_encoder(preset), callbacks)
        self._offered = 0

    def see(self, stamp_s: int) -> tuple[int, ...] | None:
        """Stamps of the past frames in seconds; None if the frame was refused."""
        before = len(self.past)
        data = np.zeros((4, 6, 3), np.uint8).tobytes()
        image = RawImage(data=data, height=4, width=6, encoding="rgb8", step=18)
        stamp_ns = stamp_s * SECOND
        self.worker.offer(Frame(images=(image,), header=None, stamp_ns=stamp_ns, received_s=time.perf_counter()))
        self._offered += 1
        deadline = time.monotonic() + PATIENCE_S
        while (counts := self.worker.health.counts).in_flight or counts.received < self._offered:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return tuple(ns // SECOND for ns in self.past[-1]) if len(self.past) > before else None


@pytest.fixture
def owner() -> Iterator[Owner]:
    owner = Owner()
    owner.worker.start()
    yield owner
    owner.worker.stop()


def test_past_frames_are_those_of_the_frames_stamps(owner: Owner) -> None:
    assert [owner.see(stamp) for stamp in (100, 101, 102, 104)] == [(0, 0), (100, 0), (101, 100), (0, 102)]


def test_a_clock_that_jumps_back_ends_the_past(owner: Owner) -> None:
    """Also where the frames' own stamps do not tell: they went on from a time that is later still."""
    owner.see(100)
    assert owner.see(101) == (100, 0)
    owner.worker.clock_jumped_back()
    assert owner.see(102) == (0, 0)
    assert owner.see(103) == (102, 0)


def test_stopping_ends_the_past(owner: Owner) -> None:
    owner.see(100)
    owner.worker.stop()
    owner.worker.start()
    assert owner.see(101) == (0, 0)


def test_a_frame_without_a_stamp_is_refused_and_the_past_stays(owner: Owner) -> None:
    owner.see(100)
    assert owner.see(0) is None
    assert "found an image without a stamp (0); expected one, since past frames are 1.0s apart" in owner.refusals[0]
    assert owner.worker.health.counts.rejected == 1
    assert owner.see(101) == (100, 0)
