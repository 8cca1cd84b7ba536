"""Folders of numbered pictures as recordings, in GNM's layout."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pyarrow")
import pyarrow as pa

from omnivla_vision.dataset.errors import FrameRateMissingError, NoRecordingError, RecordingError
from omnivla_vision.dataset.recording import SourceFrame
from omnivla_vision.dataset.recordings.frame_options import BEGINNING_NS, FrameOptions
from omnivla_vision.dataset.recordings.plan import Plan
from omnivla_vision.dataset.recordings.plan_frames import find_frames, plan_frames
from omnivla_vision.dataset.recordings.trajectory_file import TRAJECTORY_TYPE
from test.replay.bags import picture

HZ4 = FrameOptions(frame_rate=4.0)


def _drive(folder: Path, *numbers: int, ending: str = "png", first: int = 0) -> Path:
    folder.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{number}.{ending}"), picture(first + number)[..., ::-1])
    return folder


def _trajectory(count: int) -> dict[str, Any]:
    return {"position": [[float(i), -2.0 * i] for i in range(count)], "yaw": [i / 8 for i in range(count)]}


def _frames(plan: Plan) -> list[SourceFrame]:
    """Of the only recording, as a worker gets it."""
    (recording,) = plan.recordings
    return list(pickle.loads(pickle.dumps(recording)).frames())  # noqa: S301


def test_pictures_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    drive = _drive(tmp_path / "drive", *range(12))
    plan = plan_frames([drive], HZ4)
    frames = _frames(plan)
    assert all(np.array_equal(frame.rgb, picture(i)) for i, frame in enumerate(frames))  # type: ignore[arg-type]
    assert [frame.stamp_ns for frame in frames] == [BEGINNING_NS + i * 250_000_000 for i in range(12)]
    assert {(frame.camera, frame.recorded_ns, frame.jpeg) for frame in frames} == {("camera", 0, None)}
    assert plan.recordings[0].expected == 12
    assert plan.recordings[0].size == sum(file.stat().st_size for file in drive.iterdir())
    assert (plan.topics, plan.values, plan.notes) == ({}, {}, ())


def test_drives_below_a_folder(tmp_path: Path) -> None:
    for name in ("run_10", "run_2", "more/run_1"):
        _drive(tmp_path / "data" / name, 0, first=len(name))
    (tmp_path / "data" / "README.md").write_text("x")
    found, unreadable = find_frames([tmp_path / "data"], HZ4)
    assert [str(recording.path.relative_to(tmp_path / "data")) for recording in found] == [
        "more/run_1",
        "run_2",
        "run_10",
    ]
    assert not unreadable
    assert len({recording.id for recording in found}) == 3


def test_same_drive_elsewhere_is_the_same_recording(tmp_path: Path) -> None:
    for place in "ab":
        _drive(tmp_path / place / "drive", 0, 1)
    _drive(tmp_path / "c" / "drive", 0, 1, first=5)
    plan = plan_frames([tmp_path], HZ4)
    assert [recording.path.parent.name for recording in plan.recordings] == ["a", "c"]
    assert plan.notes == (f"{tmp_path / 'b/drive'} holds what {tmp_path / 'a/drive'} holds; taken once.",)


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_positions(tmp_path: Path, ending: str) -> None:
    drive = _drive(tmp_path / "drive", 0, 1, 2)
    content = _trajectory(3)
    if ending == "json":
        (drive / "traj_data.json").write_text(json.dumps(content))
    else:
        np.savez(drive / "traj_data.npz", position=content["position"], yaw=np.array(content["yaw"])[:, None])
    plan = plan_frames([drive], HZ4)
    assert plan.topics == {"traj_data": "file"}
    assert plan.values == {"traj_data": TRAJECTORY_TYPE}
    assert all(pa.scalar(frame.values["traj_data"], TRAJECTORY_TYPE).is_valid for frame in _frames(plan))
    assert [frame.values["traj_data"] for frame in _frames(plan)] == [
        {"position": [i, -2 * i], "yaw": i / 8} for i in range(3)
    ]
    assert "traj_data" not in _frames(plan_frames([drive], HZ4, asked=[]))[0].values


@pytest.mark.parametrize(("count", "said"), [(2, "those beyond have none"), (9, "positions beyond belong to none")])
def test_positions_that_do_not_fit_are_said(tmp_path: Path, count: int, said: str) -> None:
    drive = _drive(tmp_path / "drive", 0, 1, 2)
    (drive / "traj_data.json").write_text(json.dumps(_trajectory(count)))
    (recording,) = plan_frames([drive], HZ4).recordings
    values = [frame.values["traj_data"] for frame in recording.frames()]
    assert [value is None for value in values] == [i >= count for i in range(3)]
    assert recording.notes() == (f"There are {count} positions, and pictures up to number 2: {said}.",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"position": [[1, 2]]}', "KeyError: 'yaw'"),
        ('{"position": [[1, 2, 3]], "yaw": [1]}', r"with position \[1, 3\] and yaw \[1\]; expected \[N, 2\]"),
        ('{"position": [[1, 2]], "yaw": [1, 2]}', r"with position \[1, 2\] and yaw \[2\]"),
        ('{"position": [[1, 2], [3]], "yaw": [1, 2]}', "cannot be read"),
        ('{"position": [["a", "b"]], "yaw": [1]}', "cannot be read"),
    ],
)
def test_positions_that_are_none_break_the_recording(tmp_path: Path, content: str, reason: str) -> None:
    drive = _drive(tmp_path / "drive", 0)
    (drive / "traj_data.json").write_text(content)
    with pytest.raises(RecordingError, match=reason):
        _frames(plan_frames([drive], HZ4))


class _Bomb:
    """What a stranger's pickle may do."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    """Neither as traj_data.pkl nor inside an .npz; and the sentence about it says a command that works."""
    drive, mark = _drive(tmp_path / "drive", 0), tmp_path / "opened"
    (drive / "traj_data.pkl").write_bytes(pickle.dumps(_Bomb(mark)))
    plan = plan_frames([drive], HZ4)
    assert len(_frames(plan)) == 1
    (note,) = plan.notes
    assert note.startswith("traj_data.pkl was not read, and positions are missing")
    assert plan.recordings[0].notes() == (note,)

    np.savez(drive / "traj_data.npz", position=np.array([_Bomb(mark)], object), yaw=np.zeros(1))
    with pytest.raises(RecordingError, match=r"cannot be read .*no Python objects"):
        _frames(plan_frames([drive], HZ4))
    assert not mark.exists()


def test_said_command_converts_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = _drive(tmp_path / "drive", 0, 1)
    (drive / "traj_data.pkl").write_bytes(pickle.dumps({k: np.array(v) for k, v in _trajectory(2).items()}))
    (note,) = plan_frames([drive], HZ4).notes
    monkeypatch.chdir(drive)
    exec(note.partition('python -c "')[2].rpartition('"')[0])
    assert _frames(plan_frames([drive], HZ4))[1].values["traj_data"] == {"position": [1, -2], "yaw": 0.125}


def test_what_is_no_picture_or_missing_is_rejected_with_its_reason(tmp_path: Path) -> None:
    drive = _drive(tmp_path / "drive", 0, 1, 3, 4)
    (drive / "1.png").write_bytes(b"nonsense")
    frames = _frames(plan_frames([drive], HZ4))
    assert [frame.rgb is None for frame in frames] == [False, True, True, False, False]
    assert f"{drive / '1.png'}: found 8 bytes" in frames[1].problem
    assert frames[2].problem == f"{drive / '2'}: no picture of that number is there"
    assert [frame.stamp_ns for frame in frames] == [BEGINNING_NS + i * 250_000_000 for i in range(5)]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("0.png", "front.png"), "found front.png"),
        (("0.png", "00.png"), "expected one image of each number"),
        (("1700000000.png", "1700000250.png"), "found 2 pictures .*numbered from 1700000000 to 1700000250"),
    ],
)
def test_names_that_say_no_order_spoil_their_drive_only(tmp_path: Path, names: tuple[str, ...], reason: str) -> None:
    good, bad = _drive(tmp_path / "good", 0), _drive(tmp_path / "bad")
    for name in names:
        (bad / name).write_bytes((good / "0.png").read_bytes())
    found, unreadable = find_frames([tmp_path], HZ4)
    assert [recording.path for recording in found] == [good]
    assert list(unreadable) == [str(bad)]
    assert re.search(reason, unreadable[str(bad)])


def test_some_frames(tmp_path: Path) -> None:
    drive = _drive(tmp_path / "drive", *range(20), ending="jpg")
    options = FrameOptions(frame_rate=10.0, every_ns=3 * 10**8, start_s=0.5, duration_s=1.2, images=True)
    plan = plan_frames([drive], options)
    frames = _frames(plan)
    assert [frame.stamp_ns for frame in frames] == [BEGINNING_NS + i * 10**8 for i in (5, 8, 11, 14)]
    assert plan.recordings[0].expected == pytest.approx(4, abs=1)
    assert frames[0].jpeg == (drive / "5.jpg").read_bytes()  # as it was


def test_without_a_rate_there_are_no_stamps(tmp_path: Path) -> None:
    drive = _drive(tmp_path / "drive", 0, 1)
    plan = plan_frames([drive], FrameOptions())
    assert [frame.stamp_ns for frame in _frames(plan)] == [0, 0]
    assert "no stamps (--frame-rate)" in plan.notes[0]
    for options in (FrameOptions(every_ns=1), FrameOptions(start_s=1), FrameOptions(duration_s=1)):
        with pytest.raises(FrameRateMissingError, match="expected --frame-rate with --every"):
            plan_frames([drive], options)


@pytest.mark.parametrize(("place", "found"), [("nowhere", "nothing"), (".", "no frames")])
def test_neither_layout(tmp_path: Path, place: str, found: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(NoRecordingError, match=f"found {found} at .*expected a folder of pictures 0.jpg"):
        find_frames([tmp_path / place], HZ4)
    with pytest.raises(NoRecordingError, match="leave out --image-topic"):
        find_frames([_drive(tmp_path / "drive", 0)], FrameOptions(cameras=("/camera",)))


def test_rows_of_a_dataset(tmp_path: Path, dataset: Callable[..., int], table: Callable[[], Any]) -> None:
    """Two drives, one of them without positions and one broken beside them; a second run adds what is new."""
    drives = tmp_path / "drives"
    first, broken = _drive(drives / "a", 0, 1, 2), _drive(drives / "b", 0)
    _drive(drives / "c", 0, 1, first=7)
    (first / "traj_data.json").write_text(json.dumps(_trajectory(3)))
    (broken / "traj_data.json").write_text("{")
    assert dataset("--from-frames", drives, "--frame-rate", 4) == 1
    rows = table().to_pylist()
    assert [row["traj_data"] and row["traj_data"]["yaw"] for row in rows] == [0, 1 / 8, 2 / 8, None, None]
    assert [row["episode_index"] for row in rows] == [0, 0, 0, 2, 2]
    (broken / "traj_data.json").unlink()
    assert dataset("--from-frames", drives, "--frame-rate", 5) == 1, "its frames would lie on another clock"
    assert dataset("--from-frames", drives, "--frame-rate", 4) == 0
    assert [row["episode_index"] for row in table().to_pylist()] == [0, 0, 0, 2, 2, 3]


def test_column_that_the_dataset_lacks_is_left_out_and_said(tmp_path: Path) -> None:
    drive = _drive(tmp_path / "drive", 0)
    (drive / "traj_data.json").write_text(json.dumps(_trajectory(1)))
    plan = plan_frames([drive], HZ4, present={})
    assert (plan.topics, plan.notes) == ({}, ("traj_data is left out: the dataset has no such column.",))
    assert _frames(plan)[0].values == {}


def test_column_that_nobody_has_keeps_the_datasets_type(tmp_path: Path) -> None:
    plan = plan_frames([_drive(tmp_path / "drive", 0)], HZ4, present={"traj_data": TRAJECTORY_TYPE})
    assert plan.values == {"traj_data": TRAJECTORY_TYPE}
    assert _frames(plan)[0].values == {}


def test_folder_that_vanishes_breaks_its_recording(tmp_path: Path) -> None:
    drive = _drive(tmp_path / "drive", 0)
    plan = plan_frames([drive], HZ4)
    (drive / "0.png").unlink()
    drive.rmdir()
    with pytest.raises(RecordingError, match="No such file or directory; expected the folder"):
        _frames(plan)


def test_bags_or_frames(tmp_path: Path, dataset: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    drive = _drive(tmp_path / "drive", 0)
    assert dataset(drive, "--from-frames", drive) != 0
    assert "expected one of them" in capsys.readouterr().err
    assert dataset() != 0
    assert "found no recordings" in capsys.readouterr().err
