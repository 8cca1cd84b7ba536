"""What a trainer gets: tokens, goals, and what other topics said, of the rows that were written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lance")

import lance
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from omnivla_vision.dataset import Hindsight, TokenDataset
from omnivla_vision.dataset.errors import NoItemsError, NotATokenDatasetError, UnfitDatasetError, UnknownColumnError
from omnivla_vision.dataset.training.reading import LanceReader
from test.dataset.random_rows import TWIST, description, drive, output, tokens, write

AHEAD = Hindsight(frames=(2, 5), none_share=0.25)
IMU = pa.struct(
    [
        ("stamp_ns", pa.int64()),
        ("frame_id", pa.string()),
        ("status", pa.uint16()),
        ("ok", pa.bool_()),
        ("pose", pa.struct([("position", pa.list_(pa.float64(), 3)), ("covariance", pa.list_(pa.float32(), 4))])),
        ("ranges", pa.list_(pa.float32())),
        ("age_s", pa.float64()),
    ]
)


def tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).view(4, 8)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return bool(torch.equal(torch.nan_to_num(one.double(), -7), torch.nan_to_num(other.double(), -7)))
    return bool(one == other)


def equal(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> bool:
    return all(
        left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
        for left, right in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of two cameras in turns; the later episode first; compacted, so that a file has rows of all."""
    turns = sorted(drive(12, cameras=2), key=lambda frame: frame[2])
    uri = write(tmp_path_factory.mktemp("two") / "two.lance", {3: turns, 1: turns[:-8], 2: drive(1)})
    lance.dataset(str(uri)).optimize.compact_files()
    return uri


def test_every_item_has_the_tokens_that_were_written(two_cameras: Path) -> None:
    data = TokenDataset(two_cameras)
    assert len(data) == 24 + 16 + 1
    assert list(zip(data.episode_index, data.camera, strict=True)) == [
        *[(1, "/camera_0")] * 8,
        *[(1, "/camera_1")] * 8,
        (2, "/camera_0"),
        *[(3, "/camera_0")] * 12,
        *[(3, "/camera_1")] * 12,
    ]
    for number, item in enumerate(data):
        assert set(item) == {"tokens", "stamp_ns", "episode_index", "frame_index"}
        episode, frame = int(item["episode_index"]), int(item["frame_index"])
        camera = int(data.camera[number][-1])
        assert episode == data.episode_index[number]
        assert item["stamp_ns"] == 1_000_000_000 + frame * 100_000_000
        assert torch.equal(item["tokens"], tensor(tokens(episode, camera, frame, 32)))


def test_a_goal_is_a_later_frame_of_the_same_episode_and_camera(two_cameras: Path) -> None:
    data = TokenDataset(two_cameras, goal=AHEAD)
    assert len(data) == 2 * (12 - 2) + 2 * (8 - 2)  # the last two of each have none, and are left out
    valid = 0
    for number in range(len(data)):
        item = data[number]
        episode, frame, ahead = (int(item[key]) for key in ("episode_index", "frame_index", "goal_frames"))
        if item["goal_valid"]:
            valid += 1
            assert 2 <= ahead <= 5
            goal = tensor(tokens(episode, int(data.camera[number][-1]), frame + ahead, 32))
        else:
            assert ahead == 0
            goal = torch.zeros(4, 8, dtype=torch.float16)
        assert torch.equal(item["goal"], goal)
        assert item["goal_seconds"].item() == pytest.approx(ahead / 10)
    assert 0 < valid < len(data)


def test_goals_depend_on_seed_epoch_and_item_alone(two_cameras: Path) -> None:
    data = TokenDataset(two_cameras, goal=AHEAD, seed=5)
    one_by_one = [data[number] for number in range(len(data))]
    shuffled = np.random.default_rng(0).permutation(len(data))
    assert equal([one_by_one[number] for number in shuffled], data.__getitems__(shuffled))
    assert equal([one_by_one[-1]], [data[-1]])

    def goals(seen: TokenDataset) -> list[int]:
        return [int(item["goal_frames"]) for item in seen.__getitems__(range(len(seen)))]

    first = goals(data)
    assert goals(TokenDataset(two_cameras, goal=AHEAD, seed=6)) != first
    data.set_epoch(1)
    assert goals(data) != first
    data.set_epoch(0)
    assert goals(data) == first


def test_a_loop_over_all_items_ends(two_cameras: Path) -> None:
    data = TokenDataset(two_cameras)
    assert len(list(data)) == len(data)
    with pytest.raises(IndexError):
        data[len(data)]


def test_a_batch_is_one_read_of_its_rows(two_cameras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = TokenDataset(two_cameras, goal=Hindsight(frames=(1, 2)))
    reads = []
    take = LanceReader.take
    monkeypatch.setattr(
        LanceReader, "take", lambda self, rows, columns: reads.append(rows) or take(self, rows, columns)
    )
    batches = list(DataLoader(data, batch_size=len(data)))
    assert batches[0]["goal"].shape == (len(data), 4, 8)
    assert len(reads) == 1
    assert len(set(reads[0].tolist())) == len(reads[0]) <= 40


def test_items_share_no_memory(two_cameras: Path) -> None:
    data = TokenDataset(two_cameras, goal=Hindsight(frames=(1, 1)))
    clean, changed = data.__getitems__([0, 1, 1]), data.__getitems__([0, 1, 1])
    changed[0]["goal"] += 1  # the same frame as the tokens of item 1
    changed[1]["tokens"] += 1
    assert equal([clean[2]], [changed[2]])
    assert torch.equal(changed[0]["goal"], clean[0]["goal"] + 1)
    assert torch.equal(changed[1]["tokens"], clean[1]["tokens"] + 1)


def test_a_split_by_episodes_is_torchs_own(two_cameras: Path) -> None:
    data = TokenDataset(two_cameras)
    part = Subset(data, np.flatnonzero(data.episode_index != 3).tolist())
    (batch,) = DataLoader(part, batch_size=99)
    assert batch["episode_index"].tolist() == [1] * 16 + [2]


def test_bfloat16_and_several_outputs(tmp_path: Path) -> None:
    outputs = (output(), output("coarse", "tokens_coarse", (1, 1), 6))
    uri = write(tmp_path / "d", {0: drive(5)}, described=description(outputs, "bfloat16"))
    item = TokenDataset(uri, goal=Hindsight(frames=(3, 3)))[0]
    for name, frame, shape in (("tokens", 0, (4, 8)), ("goal", 3, (4, 8)), ("tokens_coarse", 0, (1, 6))):
        assert item[name].dtype == torch.bfloat16
        bits = torch.from_numpy(tokens(0, 0, frame, shape[0] * shape[1])).view(torch.int16)
        assert torch.equal(item[name].view(torch.int16), bits.view(shape))
    assert item["goal_coarse"].shape == (1, 6)


def velocities(frames: int) -> list[dict[str, Any] | None]:
    """None before the third frame."""
    there = [{"linear": [n, 0.0, 0.0], "angular": [0.0, 0.0, -n], "age_s": 0.01 * n} for n in range(2, frames)]
    return [None, None, *there]


def test_a_window_stands_on_the_nearest_row_at_the_ends(tmp_path: Path) -> None:
    values = {episode: {"/cmd_vel": velocities(6)} for episode in (0, 1)}
    uri = write(tmp_path / "d", {0: drive(6), 1: drive(6)}, kinds={"/cmd_vel": TWIST}, values=values)
    data = TokenDataset(uri, window=range(-1, 3), columns=["/cmd_vel"])
    third, last = data[6 + 2], data[5]
    for first in (data[0], data[6]):  # the second episode's does not see the first one's end
        assert first["window_valid"].tolist() == [False, True, True, True]
        assert torch.isnan(first["/cmd_vel.linear"][:3]).all()
        assert first["/cmd_vel.linear"][3].tolist() == [2, 0, 0]
        assert torch.isnan(first["/cmd_vel.age_s"]).tolist() == [True, True, True, False]
    assert third["/cmd_vel.angular"][:, 2].nan_to_num(7).tolist() == [7, -2, -3, -4]
    assert third["window_valid"].all()
    assert last["/cmd_vel.linear"][:, 0].tolist() == [4, 5, 5, 5]
    assert last["window_valid"].tolist() == [True, True, False, False]


@pytest.fixture
def imu(tmp_path: Path) -> Path:
    value = {
        "stamp_ns": 7,
        "frame_id": "base",
        "status": 65535,
        "ok": True,
        "pose": {"position": [1.0, 2.0, 3.0], "covariance": [0.5] * 4},
        "ranges": [1.0],
        "age_s": 0.5,
    }
    kinds = {"/imu": IMU, "picture": pa.binary(), "yaw": pa.float32()}
    values = {"/imu": [value, None], "picture": [b"\xff\xd8", None], "yaw": [0.25, None]}
    return write(tmp_path / "d", {0: drive(2)}, kinds=kinds, values={0: values})


def test_a_struct_gives_all_its_numbers_and_where_there_was_no_value(imu: Path) -> None:
    there, missing = TokenDataset(imu, columns=["/imu", "yaw"])
    assert {name for name in there if name.startswith("/imu")} == {
        "/imu.stamp_ns",
        "/imu.status",
        "/imu.ok",
        "/imu.pose.position",
        "/imu.pose.covariance",
        "/imu.age_s",
    }
    assert (there["/imu.stamp_ns"].item(), missing["/imu.stamp_ns"].item()) == (7, 0)
    assert (there["/imu.status"].item(), there["/imu.status"].dtype) == (65535, torch.int64)
    assert (there["/imu.ok"].tolist(), missing["/imu.ok"].tolist()) == ([True], [False])
    assert there["/imu.pose.position"].tolist() == [[1, 2, 3]]
    assert there["/imu.pose.covariance"].dtype == torch.float32
    assert torch.isnan(missing["/imu.pose.position"]).all()
    assert torch.isnan(missing["/imu.age_s"]).all()
    assert there["yaw"].tolist() == [0.25]
    assert torch.isnan(missing["yaw"]).all()


def test_a_part_of_a_struct_and_texts_by_their_names(imu: Path) -> None:
    data = TokenDataset(imu, columns=["/imu.pose", "/imu.frame_id", "picture", "camera"], window=[0, 1])
    (batch,) = DataLoader(data, batch_size=2)
    assert "/imu.age_s" not in batch
    assert batch["/imu.pose.position"].shape == (2, 2, 3)
    assert batch["/imu.frame_id"] == [("base", ""), ("", "")]
    assert batch["picture"] == [(b"\xff\xd8", b""), (b"", b"")]
    assert batch["camera"] == [("/camera_0",) * 2] * 2


@pytest.mark.parametrize("name", ["/odom", "/imu.nothing", "/imu.age_s.x", "/imu.ranges", "tokens", "stamp_ns"])
def test_an_unknown_column_is_refused(imu: Path, name: str) -> None:
    with pytest.raises(UnknownColumnError, match=r"^found .*; expected"):
        TokenDataset(imu, columns=[name])


def test_a_policy_with_other_weights_or_preprocessing_is_refused(two_cameras: Path) -> None:
    data = TokenDataset(two_cameras)
    assert data.description.fingerprint == "f00d"
    data.check(fingerprint="f00d", preprocessing_id="none:1")
    data.check(fingerprint="", preprocessing_id="none:1")
    with pytest.raises(UnfitDatasetError, match=r"found tokens of fingerprint f00d .* expected beef"):
        data.check(fingerprint="beef", preprocessing_id="none:1")
    with pytest.raises(UnfitDatasetError, match=r"preprocessing id none:1 .* expected none:2"):
        data.check(fingerprint="f00d", preprocessing_id="none:2")


def test_nothing_to_train_on_is_refused(tmp_path: Path, two_cameras: Path) -> None:
    with pytest.raises(NoItemsError, match="found 0 frames"):
        TokenDataset(write(tmp_path / "d", {}))
    with pytest.raises(NoItemsError, match="found 41 frames"):
        TokenDataset(two_cameras, goal=Hindsight(frames=(50, 60)))
    with pytest.raises(NotATokenDatasetError):
        TokenDataset(tmp_path / "nowhere")


def test_importing_the_room_imports_neither_torch_nor_lance() -> None:
    code = "import sys, omnivla_vision.dataset; print({'torch', 'lance', 'pyarrow'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
