"""Histories as data: spacings by name, the names of past frames, what is refused."""

from __future__ import annotations

import pytest

from omnivla_vision.network.history import (
    History,
    HistoryLengthError,
    HistoryToleranceError,
    Spacing,
    UnknownSpacingError,
    get_spacing,
)


@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        ("1", Spacing(frames=1)),
        ("12", Spacing(frames=12)),
        ("0.5s", Spacing(ns=500_000_000)),
        ("2s", Spacing(ns=2_000_000_000)),
        ("0.033333333s", Spacing(ns=33_333_333)),
    ],
)
def test_a_spacing_is_what_its_name_says(name: str, spacing: Spacing) -> None:
    assert get_spacing(name) == spacing
    assert get_spacing(str(spacing)) == spacing


@pytest.mark.parametrize("name", ["", "0", "-1", "0s", "0.0s", "1.5", "s", ".5s", "1 s", "0.5ms", "0.0000000001s"])
def test_another_spacing_is_refused(name: str) -> None:
    with pytest.raises(UnknownSpacingError, match=r"a number of frames such as 1 or 5, or seconds such as 0\.5s"):
        get_spacing(name)


@pytest.mark.parametrize(
    ("spacing", "names"),
    [("1", ("t-1f", "t-2f", "t-3f")), ("5", ("t-5f", "t-10f", "t-15f")), ("0.5s", ("t-0.5s", "t-1.0s", "t-1.5s"))],
)
def test_past_frames_are_named_by_their_age(spacing: str, names: tuple[str, ...]) -> None:
    assert History(frames=3, spacing=get_spacing(spacing)).names == names


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"frames": 0, "spacing": "1s"}, 0),
        ({"frames": 31, "spacing": "1"}, 31),
        ({"frames": 8, "spacing": "5"}, 40),
        ({"frames": 31, "spacing": "1s"}, 16 * 31 + 9),
        ({"frames": 8, "spacing": "0.1s"}, 16 * 8 + 9),
        # 8 s and 0.25 s, one every 0.25 s / 8.
        ({"frames": 8, "spacing": "1s", "tolerance_ns": 250_000_000}, 265),
    ],
)
def test_what_is_kept_is_bounded(options: dict[str, object], kept: int) -> None:
    spacing = get_spacing(str(options.pop("spacing")))
    assert History(spacing=spacing, **options).kept == kept  # type: ignore[arg-type]


def test_a_tolerance_is_at_most_half_of_a_spacing_in_seconds() -> None:
    seconds = get_spacing("1s")
    assert History(frames=1, spacing=seconds).tolerance == 500_000_000
    assert History(frames=1, spacing=seconds, tolerance_ns=500_000_000).tolerance == 500_000_000
    for tolerance_ns in (500_000_001, -1):
        with pytest.raises(HistoryToleranceError, match=r"expected 0 to 0\.5 s"):
            History(frames=1, spacing=seconds, tolerance_ns=tolerance_ns)
    with pytest.raises(HistoryToleranceError, match="since frames are counted"):
        History(frames=1, spacing=get_spacing("2"), tolerance_ns=1)


@pytest.mark.parametrize("frames", [-1, 257])
def test_another_number_of_frames_is_refused(frames: int) -> None:
    with pytest.raises(HistoryLengthError, match=f"found a history of {frames} frames; expected 0 to 256"):
        History(frames=frames)


def test_more_than_can_be_kept_is_refused() -> None:
    with pytest.raises(HistoryLengthError, match="for which 25600 would be kept; expected no more than 8192"):
        History(frames=256, spacing=get_spacing("100"))
    with pytest.raises(HistoryLengthError, match="or a wider tolerance"):
        History(frames=31, spacing=get_spacing("1s"), tolerance_ns=1_000_000)
