"""LeRobot v3 datasets as recordings: frame i of an episode is frame i, wherever it lies in the files."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pa = pytest.importorskip("pyarrow")
pytest.importorskip("av")

from omnivla_vision.dataset.errors import LeRobotError, NoRecordingError  # noqa: E402
from omnivla_vision.dataset.recordings.frame_options import BEGINNING_NS, FrameOptions  # noqa: E402
from omnivla_vision.dataset.recordings.lerobot import open_lerobot  # noqa: E402
from omnivla_vision.dataset.recordings.plan_frames import plan_frames  # noqa: E402
from test.dataset.lerobot_files import CAMERA, LeRobotFiles, number_of  # noqa: E402

LENGTHS, FILES = (7, 12, 5, 9), (2, 1, 1)  # the last file is in a chunk of its own
STARTS = (0, 7, 19, 24)


@pytest.fixture
def lerobot(tmp_path: Path) -> Path:
    return LeRobotFiles(tmp_path / "drives", LENGTHS, FILES).write()


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"g": "4", "bf": "2"}),
        ("libx264", {"g": "250"}),
        ("mpeg4", {"g": "12"}),
        ("libsvtav1", {"g": "2", "preset": "12"}),
        (None, {}),
    ],
)
def test_frame_i_of_an_episode_is_frame_i(tmp_path: Path, codec: str | None, options: dict[str, str]) -> None:
    root = LeRobotFiles(tmp_path / "drives", LENGTHS, FILES, codec=codec, options=options).write()
    plan = plan_frames([root], FrameOptions())
    assert not plan.unreadable
    assert [recording.expected for recording in plan.recordings] == list(LENGTHS)
    for recording, start, length in zip(plan.recordings, STARTS, LENGTHS, strict=True):
        frames = list(pickle.loads(pickle.dumps(recording)).frames())  # noqa: S301 - as a worker gets it
        assert [number_of(frame.rgb) for frame in frames] == list(range(start, start + length))
        assert [frame.stamp_ns for frame in frames] == pytest.approx(
            [BEGINNING_NS + i * 10**8 for i in range(length)], abs=100
        )  # LeRobot's stamps are float32
        assert {frame.camera for frame in frames} == {CAMERA}
        assert frames[2].values["action"] == [start + 2, start + 2.5, -start - 2]
        assert frames[2].values["observation/state"] == [2, 0.25]
        assert frames[2].values["task"] == f"task {STARTS.index(start) % 2}"


def test_columns_have_the_features_types(lerobot: Path) -> None:
    plan = plan_frames([lerobot], FrameOptions())
    assert plan.values == {
        "action": pa.list_(pa.float32(), 3),
        "observation/state": pa.list_(pa.float32(), 2),
        "task": pa.string(),
        "task_index": pa.int64(),
    }
    assert set(plan.topics.values()) == {"file"}
    frame = next(plan.recordings[0].frames())
    assert frame.values.keys() == plan.values.keys()
    assert all(pa.scalar(frame.values[name], kind).is_valid for name, kind in plan.values.items())
    assert plan_frames([lerobot], FrameOptions(), asked=["action"]).values.keys() == {"action"}
    with pytest.raises(NoRecordingError, match=r"found no speed in any recording.*there are action, observation/state"):
        plan_frames([lerobot], FrameOptions(), asked=["speed"])


def test_some_frames_of_each(lerobot: Path) -> None:
    options = FrameOptions(every_ns=2 * 10**8, start_s=0.2, duration_s=0.5, images=True)
    recording = open_lerobot(lerobot, options)[1]
    frames = list(recording.frames())
    assert [number_of(frame.rgb) for frame in frames] == [9, 11, 13]
    assert all(frame.jpeg.startswith(b"\xff\xd8") for frame in frames)
    assert list(open_lerobot(lerobot, FrameOptions(start_s=60))[0].frames()) == []


def test_stored_png_is_kept_as_jpeg_and_stored_jpeg_as_it_is(tmp_path: Path) -> None:
    root = LeRobotFiles(tmp_path / "drives", (2,), (1,), codec=None).write()
    first, _ = open_lerobot(root, FrameOptions(images=True))[0].frames()
    assert first.jpeg is not None
    assert first.jpeg.startswith(b"\xff\xd8")


def test_video_that_is_too_short_rejects_its_last_frames(lerobot: Path, tmp_path: Path) -> None:
    short = LeRobotFiles(tmp_path / "short", (9,), (1,)).write()
    video = "videos/observation.images.front/chunk-000/file-000.mp4"
    (lerobot / video).write_bytes((short / video).read_bytes())
    frames = [frame for episode in open_lerobot(lerobot, FrameOptions())[:2] for frame in episode.frames()]
    assert [number_of(frame.rgb) for frame in frames if frame.rgb is not None] == list(range(9))
    assert [frame.problem for frame in frames if frame.rgb is None] == [
        f"{CAMERA}, frame {i}: the video has none at that time" for i in range(2, 12)
    ]


def test_frame_that_a_video_lost_is_rejected_and_the_others_stay_in_place(tmp_path: Path) -> None:
    root = LeRobotFiles(tmp_path / "drives", (6, 6), (2,), lost=8).write()
    frames = list(open_lerobot(root, FrameOptions())[1].frames())
    assert [None if frame.rgb is None else number_of(frame.rgb) for frame in frames] == [6, 7, None, 9, 10, 11]
    assert frames[2].problem == f"{CAMERA}, frame 2: the video has none at that time"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("videos/observation.images.front/chunk-000/file-000.mp4", "cannot be read as video"),
        ("data/chunk-000/file-000.parquet", "a Parquet file as LeRobot v3 writes it"),
    ],
)
@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_file_that_is_broken_or_missing_breaks_its_episodes_only(
    lerobot: Path, file: str, reason: str, content: bytes | None
) -> None:
    (lerobot / file).unlink() if content is None else (lerobot / file).write_bytes(content)
    first, *_, last = open_lerobot(lerobot, FrameOptions())
    with pytest.raises(LeRobotError, match=reason):
        list(first.frames())
    assert len(list(last.frames())) == LENGTHS[-1]


def test_data_that_lack_frames_are_refused(lerobot: Path, tmp_path: Path) -> None:
    other = LeRobotFiles(tmp_path / "other", (7, 11), (2,)).write()
    data = "data/chunk-000/file-000.parquet"
    (lerobot / data).write_bytes((other / data).read_bytes())
    with pytest.raises(LeRobotError, match=r"found 11 frames of episode 1 .*expected numbers 0 to 11"):
        list(open_lerobot(lerobot, FrameOptions())[1].frames())


def _edit(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = root / "meta" / "info.json"
    info = json.loads(file.read_text())
    change(info)
    file.write_text(json.dumps(info))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda info: info.update(codebase_version="v2.1"), "version v2.1 .*expected v3; .*convert_dataset_v21_to_v30"),
        (lambda info: info.update(codebase_version="v4.0"), "version v4.0"),
        (lambda info: info["features"].pop(CAMERA), "found no feature of dtype video or image"),
        (lambda info: info.pop("data_path"), "not as LeRobot writes it"),
        (lambda info: info.update(fps=0), "fps 0"),
        (lambda info: info.update(features=[]), "not as LeRobot writes it"),
    ],
)
def test_what_cannot_be_read_is_said(lerobot: Path, change: Callable[[dict[str, Any]], object], reason: str) -> None:
    _edit(lerobot, change)
    with pytest.raises(LeRobotError, match=reason):
        open_lerobot(lerobot, FrameOptions())
    plan = plan_frames([lerobot], FrameOptions())
    assert (plan.recordings, list(plan.unreadable)) == ((), [str(lerobot)])


def test_features_that_are_not_read_are_said(tmp_path: Path) -> None:
    features = {
        "observation.depth": {"dtype": "video", "shape": [4, 4, 1], "info": {"is_depth_map": True}},
        "said": {"dtype": "language", "shape": [1]},
        "camera": {"dtype": "float32", "shape": [1]},
    }
    root = LeRobotFiles(tmp_path / "drives", (2,), (1,), features=features).write()
    plan = plan_frames([root], FrameOptions())
    assert plan.notes == (
        "observation.depth was not read: depth is no picture.",
        "said was not read: neither numbers nor a text.",
        "camera was not read: the name is taken.",
    )
    assert len(list(plan.recordings[0].frames())) == 2


def test_features_that_differ_between_datasets_are_refused(lerobot: Path, tmp_path: Path) -> None:
    other = LeRobotFiles(tmp_path / "other", (3,), (1,)).write()
    _edit(other, lambda info: info["features"]["action"].update(shape=[4]))
    plan = plan_frames([lerobot, other], FrameOptions())
    assert len(plan.recordings) == len(LENGTHS)
    (reason,) = plan.unreadable.values()
    assert "found columns that differ from the first recording's (action is fixed_size_list" in reason


def test_a_feature_of_another_shape_than_info_says(lerobot: Path) -> None:
    _edit(lerobot, lambda info: info["features"]["observation.state"].update(shape=[3]))
    with pytest.raises(LeRobotError, match="cannot be read"):
        list(plan_frames([lerobot], FrameOptions()).recordings[0].frames())


def test_unknown_camera(lerobot: Path) -> None:
    assert len(open_lerobot(lerobot, FrameOptions(cameras=(CAMERA,)))) == len(LENGTHS)
    with pytest.raises(LeRobotError, match=r"found no camera left in .*it has observation.images.front; name one"):
        open_lerobot(lerobot, FrameOptions(cameras=("left",)))


def test_ids_stay_when_episodes_are_added_and_differ_between_datasets(tmp_path: Path) -> None:
    few = LeRobotFiles(tmp_path / "a" / "drives", (3, 4), (2,)).write()
    more = LeRobotFiles(tmp_path / "b" / "drives", (3, 4, 5), (1, 2)).write()
    other = LeRobotFiles(tmp_path / "c" / "drives", (3, 4), (2,), mean=0.5).write()
    before, after, others = (
        [episode.id for episode in open_lerobot(root, FrameOptions())] for root in (few, more, other)
    )
    assert after[:2] == before
    assert len({*after, *others}) == 5


def test_rows_of_a_dataset(lerobot: Path, dataset: Callable[..., int], table: Callable[[], Any]) -> None:
    assert dataset("--from-frames", lerobot, "--rate", 5) == 0
    rows = table().to_pylist()
    assert [row["frame_index"] for row in rows] == [i for length in LENGTHS for i in range((length + 1) // 2)]
    assert [row["action"][0] for row in rows] == [
        start + i for start, length in zip(STARTS, LENGTHS, strict=True) for i in range(0, length, 2)
    ]
    assert rows[0]["task"] == "task 0"
    assert np.isfinite(np.array(rows[0]["tokens"], np.float32)).all()
    assert dataset("--from-frames", lerobot, "--rate", 5) == 0  # all are there
    assert len(table()) == len(rows)
