"""Presets with the past frames that a user asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omnivla_vision.network.history import NO_HISTORY, History, HistoryLengthError, UnknownSpacingError, get_spacing
from omnivla_vision.network.outputs import WHOLE_GRID, Output, UnknownPoolingError, get_pooling
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.spec import Preset
from omnivla_vision.network.with_history import HistoryOptions, PrescribedHistoryError, with_history


@pytest.fixture
def prescribing() -> Preset:
    """A preset with a history of its own, as OpenTrackVLA's."""
    outputs = (Output("fine", get_pooling("8x8"), "present"), Output("coarse", get_pooling("2x2"), "all"))
    return replace(get_preset("small"), outputs=outputs, history=History(frames=31))


def test_nothing_asked_for_changes_nothing(prescribing: Preset) -> None:
    for preset in (get_preset("small"), prescribing):
        assert with_history(preset, HistoryOptions()) == preset


def test_an_open_preset_gets_one_more_output_and_its_own_stays_as_it_is() -> None:
    preset = with_history(get_preset("small"), HistoryOptions(frames=3, spacing="0.5s", tolerance_s=0.1))
    assert preset.outputs == (
        Output("tokens", get_pooling("none"), "present"),
        Output("history", get_pooling("2x2"), "past"),
    )
    assert preset.history == History(frames=3, spacing=get_spacing("0.5s"), tolerance_ns=100_000_000)
    assert with_history(get_preset("small"), HistoryOptions(frames=3, pool="8x8")).outputs[1].pooling.rows == 8


def test_a_preset_that_prescribes_one_keeps_its_outputs(prescribing: Preset) -> None:
    preset = with_history(prescribing, HistoryOptions(frames=7, spacing="1s"))
    assert preset.outputs == prescribing.outputs
    assert preset.history == History(frames=7, spacing=get_spacing("1s"))
    with pytest.raises(
        PrescribedHistoryError, match="expected none, since its outputs pool them: fine 8x8, coarse 2x2"
    ):
        with_history(prescribing, HistoryOptions(pool="4x4"))


def test_a_history_is_switched_off_with_0_frames(prescribing: Preset) -> None:
    past = replace(prescribing, outputs=(Output("now", images="present"), Output("before", images="past")))
    without = with_history(past, HistoryOptions(frames=0))
    assert (without.history, without.outputs) == (NO_HISTORY, (Output("now", images="present"),))


def test_an_engine_does_not_depend_on_it(prescribing: Preset) -> None:
    network = prescribing.network
    assert (network.history, network.outputs) == (NO_HISTORY, WHOLE_GRID)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (HistoryOptions(frames=-2), HistoryLengthError),
        (HistoryOptions(frames=1, spacing="often"), UnknownSpacingError),
        (HistoryOptions(frames=0, pool="max"), UnknownPoolingError),
    ],
)
def test_what_cannot_be_is_refused(options: HistoryOptions, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        with_history(get_preset("small"), options)
