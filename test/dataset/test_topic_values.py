"""What other topics said at a frame, out of real bags."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow")

from omnivla_vision.dataset.recordings.message_columns import column_type  # noqa: E402
from omnivla_vision.dataset.recordings.topic_values import TopicValues  # noqa: E402
from test.dataset.messages import ODOMETRY, TWIST, odometry, twist  # noqa: E402
from test.replay.bags import SQLITE3, START_NS, Message, picture, raw, write  # noqa: E402

TOPICS = {"/odom": ODOMETRY, "/cmd_vel": TWIST}
NO_STAMP = -START_NS / 1e9


def _at(values: TopicValues, stamp_s: float, recorded_s: float | None = None) -> dict[str, tuple[float, float] | None]:
    """Topic -> x of the value, and its age in ms."""
    recorded = stamp_s if recorded_s is None else recorded_s
    found = values.at(max(0, START_NS + round(stamp_s * 1e9)), START_NS + round(recorded * 1e9))
    return {
        name: value
        and (
            value["pose"]["pose"]["position"][0] if name == "/odom" else value["linear"][0],
            round(value["age_s"] * 1e3, 3),
        )
        for name, value in found.items()
    }


def _odom(values: TopicValues, stamp_s: float, recorded_s: float | None = None) -> tuple[float, float] | None:
    return _at(values, stamp_s, recorded_s)["/odom"]


@pytest.mark.parametrize("storage", [None, SQLITE3])
def test_latest_value_and_its_age(tmp_path: Path, storage: object) -> None:
    messages = [message for i in range(100) for message in (odometry(i, i / 50), twist(i, i / 50 + 0.005))]
    bag = write(tmp_path / "bag", messages, **({"storage": storage} if storage else {}))  # type: ignore[arg-type]
    with TopicValues(bag, TOPICS) as values:
        assert _at(values, -0.001) == {"/odom": None, "/cmd_vel": None}
        assert _at(values, 0.0) == {"/odom": (0, 0), "/cmd_vel": None}
        assert _at(values, 0.021) == {"/odom": (1, 1), "/cmd_vel": (0, 16)}
        assert _at(values, 1.5) == {"/odom": (75, 0), "/cmd_vel": (74, 15)}
        assert _at(values, 9.0) == {"/odom": (99, 7020), "/cmd_vel": (99, 7015)}
        assert values.notes == ()


def test_values_fit_their_columns(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [odometry(1, 0.0)])
    with TopicValues(bag, {"/odom": ODOMETRY}) as values:
        value = values.at(START_NS + 5_000_000, START_NS)["/odom"]
    (stored,) = pa.array([value], column_type(ODOMETRY)).to_pylist()
    assert stored["header"] == {"stamp_ns": START_NS, "frame_id": "odom"}
    assert stored["pose"]["pose"] == {"position": [1, 2, 3], "orientation": [0.1, 0, 0, 0.2]}
    assert stored["twist"]["twist"] == {"linear": [4, 5, 6], "angular": [7, 8, 9]}
    assert (stored["age_s"], stored["pose"]["covariance"]) == (0.005, [0.0] * 36)


def test_value_that_was_recorded_after_the_frame_counts_by_its_stamp(tmp_path: Path) -> None:
    """Odometry comes 0.9 s late; what comes later still is not waited for."""
    bag = write(tmp_path / "bag", [odometry(i, i / 10 + 0.9, stamp_s=i / 10) for i in range(50)])
    with TopicValues(bag, {"/odom": ODOMETRY}) as values:
        assert _odom(values, 2.0) == (20, 0)
        assert _odom(values, 3.0, 2.5) == (26, 400)  # recorded up to 3.5 s


def test_recorders_clock_counts_where_there_is_no_stamp(tmp_path: Path) -> None:
    bag = write(
        tmp_path / "bag",
        [odometry(i, i / 10, stamp_s=i / 10 + 0.05) for i in range(10)]
        + [odometry(10, 1.0, stamp_s=NO_STAMP), twist(1, 0.5), twist(2, 0.8)],
    )
    with TopicValues(bag, TOPICS) as values:
        assert _at(values, NO_STAMP, 0.33) == {"/odom": (3, 30), "/cmd_vel": None}  # of the frame
        assert _at(values, 0.6, 0.79) == {"/odom": (5, 50), "/cmd_vel": (1, 290)}  # of the command
        assert _at(values, 1.2, 1.3) == {"/odom": (9, 250), "/cmd_vel": (2, 500)}  # of an odometry, 300 ms old


def test_messages_in_disorder(tmp_path: Path) -> None:
    order = [0, 2, 1, 4, 3, 5]
    bag = write(tmp_path / "bag", [odometry(i, 0.1 * n, stamp_s=0.1 * i) for n, i in enumerate(order)])
    with TopicValues(bag, {"/odom": ODOMETRY}) as values:
        assert [_odom(values, 0.1 * i) for i in range(6)] == [(i, 0) for i in range(6)]


def _two_runs(seconds: float = 10.0, gap: float = 0.5) -> list[Message]:
    """Odometry at 50 Hz whose stamps begin anew, as a simulation's that is restarted; x is 100 higher then."""
    count = round(50 * seconds)
    return [
        odometry(100 * run + i / 50, run * (seconds + gap) + i / 50, stamp_s=i / 50)
        for run in range(2)
        for i in range(count)
    ]


@pytest.mark.parametrize("every", [0.1, 3.0])
def test_clock_that_is_set_back_forgets_what_was_before(tmp_path: Path, every: float) -> None:
    """Frames of either run get values of their own, though those of the other have stamps that fit."""
    bag = write(tmp_path / "bag", _two_runs())
    with TopicValues(bag, {"/odom": ODOMETRY}) as values:
        for run in range(2):
            for i in range(round(10 / every)):
                stamp = i * every + 0.01
                found = _odom(values, stamp, run * 10.5 + stamp + 0.03)
                assert found == (pytest.approx(100 * run + i * every), pytest.approx(10, abs=0.01)), (run, i)


def test_topic_that_ended_before_the_clock_was_set_back(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [odometry(1, 2.0), twist(1, 2.0), twist(2, 15.0)])
    with TopicValues(bag, TOPICS) as values:
        assert _at(values, 9.0) == {"/odom": (1, 7000), "/cmd_vel": (1, 7000)}
        assert _at(values, 5.0, 12.0) == {"/odom": None, "/cmd_vel": None}  # not 3 s old
        assert _at(values, 8.0, 15.0) == {"/odom": None, "/cmd_vel": (2, 0)}


def test_topic_that_ended_is_forgotten_though_few_frames_are_asked_for(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [odometry(1, 4.0), twist(1, 4.0)])
    with TopicValues(bag, TOPICS) as values:
        assert _odom(values, 2.5) is None
        assert _odom(values, 1.0, 11.0) is None
        assert _odom(values, 5.0, 15.0) is None  # not 1 s old


def test_broken_message_is_passed_over_and_counted(tmp_path: Path) -> None:
    messages = [odometry(i, i / 10, cut_to=200 if i in (3, 4) else 6 if i == 7 else None) for i in range(10)]
    bag = write(tmp_path / "bag", messages)
    with TopicValues(bag, {"/odom": ODOMETRY}) as values:
        assert _odom(values, 0.45) == (2, 250)
        assert _odom(values, 0.75) == (6, 150)
        (note,) = values.notes
    assert note.startswith("3 messages of /odom were broken and passed over (")


def test_topic_that_is_not_there_or_has_another_type(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [twist(1, 0.0, topic="/odom")])
    with TopicValues(bag, TOPICS) as values:
        assert _at(values, 1.0) == {"/odom": None, "/cmd_vel": None}


def test_topic_on_another_clock_is_told(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [odometry(i, i / 10, stamp_s=3600 + i / 10) for i in range(100)])
    with TopicValues(bag, {"/odom": ODOMETRY}) as values:
        assert [_odom(values, i) for i in range(10)] == [None] * 10
        (note,) = values.notes
    assert "messages of /odom were stamped seconds later than frames" in note
    assert "are their clocks the same?" in note


def test_value_that_waits_for_a_frame_far_ahead(tmp_path: Path) -> None:
    """It was read with the frame before, and nothing newer came but what was stamped before it."""
    late = [odometry(2, 6.0, stamp_s=0.3), odometry(3, 10.5, stamp_s=10.4)]
    bag = write(tmp_path / "bag", [odometry(0, 0.0), odometry(1, 0.5), *late])
    with TopicValues(bag, {"/odom": ODOMETRY}) as values:
        assert _odom(values, 0.1) == (0, 100)
        assert _odom(values, 10.0) == (1, 9500)
        assert values.notes == ()


def test_rows_of_a_dataset(tmp_path: Path, dataset: Callable[..., int], table: Callable[[], Any]) -> None:
    """Found by type; where a bag lacks a topic its rows have none, and a note says so."""
    frames = [raw(picture(i), i / 10) for i in range(3)]
    folder = tmp_path / "drives"
    folder.mkdir()
    write(folder / "a", [*frames, twist(0.5, 0.15), odometry(1, 0.02), odometry(2, 0.19)])
    write(folder / "b", [raw(picture(9), 9.0), odometry(3, 9.0)])
    assert dataset(folder) == 0
    rows = table().to_pylist()
    assert [row["/cmd_vel"] and row["/cmd_vel"]["linear"] for row in rows] == [None, None, [0.5, 0, 0], None]
    assert [row["/odom"] and row["/odom"]["pose"]["pose"]["position"][0] for row in rows] == [None, 1, 2, 3]
    assert rows[2]["/odom"]["age_s"] == pytest.approx(0.01)
    assert "/cmd_vel (geometry_msgs/msg/Twist) is not in the bag" in rows[3]["episode_record"]


@pytest.mark.parametrize("clock_ahead_s", [0.0, 3600.0])
def test_few_messages_are_kept_however_few_frames_ask(tmp_path: Path, clock_ahead_s: float) -> None:
    """A minute of odometry, 11 MB of Python's memory, between two frames; also if it waits for frames in vain."""
    messages = (odometry(i, i / 200, stamp_s=i / 200 + clock_ahead_s) for i in range(12_000))
    bag = write(tmp_path / "bag", messages, storage=SQLITE3)
    with TopicValues(bag, {"/odom": ODOMETRY}) as values:
        tracemalloc.start()
        try:
            _at(values, 1.0)
            _at(values, 58.0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 3_000_000
