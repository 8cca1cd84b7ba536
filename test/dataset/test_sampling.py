from __future__ import annotations

import numpy as np
import pytest

from omnivla_vision.dataset.recordings.sampling import Sampler, sampling_name


def kept(stamps_s: list[float], every_s: float) -> list[float]:
    sampler = Sampler(round(every_s * 1e9))
    return [stamp for stamp in stamps_s if sampler.wants(round((5000 + stamp) * 1e9))]


def test_every_frame() -> None:
    assert kept([0, 0, 0.1, 0.05], 0) == [0, 0, 0.1, 0.05]


def test_on_a_grid() -> None:
    assert kept([i / 10 for i in range(11)], 0.5) == [0, 0.5, 1.0]


@pytest.mark.parametrize("rate", [2, 5, 10])
def test_a_cameras_jitter_costs_no_frame(rate: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.02, 0.02, 1001)
    stamps = [i / 10 + (noise[i] if i else 0) for i in range(1001)]
    assert len(kept(stamps, 1 / rate)) == pytest.approx(100 * rate + 1, abs=1)


def test_after_a_gap_it_goes_on() -> None:
    assert kept([0, 0.1, 7.3, 7.4, 7.5, 7.6, 8.0], 0.5) == [0, 7.3, 8.0]  # 7.3 may be the last for a while


def test_stamps_that_go_back_start_over() -> None:
    assert kept([3.0, 3.5, 0.0, 0.3, 0.5], 0.5) == [3.0, 3.5, 0.0, 0.5]


def test_frames_in_a_slightly_wrong_order() -> None:
    assert kept([0.0, 0.2, 0.1, 0.4, 0.3, 0.6], 0.2) == [0.0, 0.2, 0.4, 0.6]


def test_names() -> None:
    assert sampling_name(0) == "every frame"
    assert sampling_name(500_000_000, 2.0, 10.0) == "every 0.5 s from 2 s on for 10 s"
    assert sampling_name(0, frame_rate=4.0) == "every frame, pictures at 4 Hz"
