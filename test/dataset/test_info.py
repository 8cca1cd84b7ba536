"""`omnivla-vision dataset info`: what a dataset says of itself is what was put into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lance")

import lance
import pyarrow as pa

from omnivla_vision.dataset.errors import NotATokenDatasetError
from omnivla_vision.dataset.report.examine import info_of
from omnivla_vision.dataset.report.scan import episode_rows
from omnivla_vision.dataset.store import open_dataset
from test.dataset.conftest import GAPPY_S
from test.dataset.random_walks import random_walks
from test.replay import bags


def look(path: Path) -> Any:
    return info_of(open_dataset(str(path)))


def test_what_was_put_in_is_told(gappy: Path) -> None:
    info = look(gappy)
    first, second = info.episodes
    assert (info.rows, info.rejected) == (20, 1)
    assert [camera.rows for camera in first.cameras] == [15]
    assert first.duration_s == pytest.approx(1.9)
    assert second.duration_s == pytest.approx(0.4)
    assert info.duration_s == pytest.approx(2.3)
    assert [camera.rate_hz for episode in info.episodes for camera in episode.cameras] == pytest.approx([10, 10])
    (gap,) = first.gaps
    assert (gap.at_s, gap.length_s) == pytest.approx((0.7, 0.6))
    assert second.gaps == ()
    (reason,) = info.broken.values()
    assert "MCAP" in reason or "mcap" in reason


def test_topics_with_their_ages(gappy: Path) -> None:
    command, odom = sorted(look(gappy).topics, key=lambda topic: topic.name)
    assert (odom.name, odom.kind) == ("/odom", "nav_msgs/msg/Odometry")
    ages = [at_s - 0.55 for at_s in GAPPY_S if at_s > 0.55]
    assert odom.share == pytest.approx(len(ages) / 20)
    assert odom.age_median_s == pytest.approx(ages[len(ages) // 2], abs=1e-4)
    assert odom.age_max_s == pytest.approx(max(ages), abs=1e-4)
    assert command.share == pytest.approx(15 / 20)


def test_bytes_are_those_on_the_disk(gappy: Path) -> None:
    info = look(gappy)
    assert info.bytes == sum(file.stat().st_size for file in (gappy / "data").iterdir())
    assert sum(episode.bytes for episode in info.episodes) == pytest.approx(info.bytes, abs=2)


def test_fragments_that_hold_several_episodes(tmp_path: Path) -> None:
    path = random_walks(tmp_path / "d.lance", [30, 10, 20])
    lance.dataset(str(path)).optimize.compact_files()
    assert len(lance.dataset(str(path)).get_fragments()) == 1
    info = look(path)
    assert [episode.episode.rows for episode in info.episodes] == [30, 10, 20]
    assert [episode.duration_s for episode in info.episodes] == pytest.approx([2.9, 0.9, 1.9])
    shares = [episode.bytes / info.bytes for episode in info.episodes]
    assert shares == pytest.approx([1 / 2, 1 / 6, 1 / 3], abs=1e-4)


def test_rows_that_were_deleted_are_gone(tmp_path: Path) -> None:
    path = random_walks(tmp_path / "d.lance", [5, 6, 7])
    lance.dataset(str(path)).optimize.compact_files()
    lance.dataset(str(path)).delete("episode_index = 1 OR (episode_index = 2 AND frame_index < 3)")
    opened = lance.dataset(str(path))
    assert [episode.rows for episode in look(path).episodes] == [5, 4]
    places = [row for rows in episode_rows(opened, ()) for row in rows.cameras[0].places]
    numbers = opened.take(places, columns=["episode_index", "frame_index"]).to_pydict()
    assert numbers["episode_index"] == [0] * 5 + [2] * 4
    assert numbers["frame_index"] == [0, 1, 2, 3, 4, 3, 4, 5, 6]


def test_an_episode_whose_record_was_deleted_is_refused(tmp_path: Path) -> None:
    path = random_walks(tmp_path / "d.lance", [5, 6, 7])
    lance.dataset(str(path)).delete("episode_index = 1 AND frame_index > 3")
    with pytest.raises(NotATokenDatasetError, match=r'delete\("episode_index = 1"\)'):
        look(path)
    lance.dataset(str(path)).delete("episode_index = 1")
    assert look(path).rows == 12


def test_batches_end_anywhere_in_an_episode(tmp_path: Path) -> None:
    frames = [8192, 1, 8191, 9000, 1]
    info = look(random_walks(tmp_path / "d.lance", frames))
    assert [sum(camera.rows for camera in episode.cameras) for episode in info.episodes] == frames


def test_two_cameras_of_an_episode(tmp_path: Path, dataset: Callable[..., int]) -> None:
    pytest.importorskip("torch")
    front = [bags.raw(bags.picture(i), i / 10, topic="/front") for i in range(6)]
    rear = [bags.raw(bags.picture(i), i / 5, topic="/rear") for i in range(4)]
    bags.write(tmp_path / "bag", [*front, *rear])
    assert dataset(tmp_path / "bag", "--image-topic", "/front", "/rear") == 0
    (episode,) = look(tmp_path / "tokens.lance").episodes
    assert [(camera.name, camera.rows) for camera in episode.cameras] == [("/front", 6), ("/rear", 4)]
    assert [camera.rate_hz for camera in episode.cameras] == pytest.approx([10, 5])
    assert episode.duration_s == pytest.approx(0.6)


def test_the_rate_of_frames_that_are_not_evenly_spaced(tmp_path: Path) -> None:
    """3 Hz of a camera with 10: 0.3, 0.3 and 0.4 s apart; and a gap."""
    stamps = [10**18 + round(i / 3 * 10) * 10**8 for i in range(30)]
    stamps[20:] = [stamp + 5 * 10**9 for stamp in stamps[20:]]
    (camera,) = look(random_walks(tmp_path / "d.lance", [30], columns={"stamp_ns": stamps})).episodes[0].cameras
    assert camera.rate_hz == pytest.approx(3, rel=0.02)
    assert [gap.length_s for gap in camera.gaps] == pytest.approx([5.3], abs=0.11)


@pytest.mark.parametrize(
    ("stamps", "recorded", "clock", "length"),
    [
        ([1e9, 2e9, 3e9], [5e9, 6e9, 7e9], "stamps", 2.0),
        ([0, 0, 0], [5e9, 7e9, 9e9], "recorder", 4.0),
        ([0, 0, 0], [0, 0, 0], "", None),
        ([4e9, 5e9, 2e9], [0, 0, 0], "stamps", 1.0),
    ],
)
def test_times_are_on_one_clock(
    tmp_path: Path, stamps: list[float], recorded: list[float], clock: str, length: float | None
) -> None:
    columns = {"stamp_ns": list(map(int, stamps)), "recorded_ns": list(map(int, recorded))}
    info = look(random_walks(tmp_path / "d.lance", [3], columns=columns))
    (camera,) = info.episodes[0].cameras
    assert (camera.clock, camera.duration_s) == (clock, length)
    assert camera.jumps_back == (1 if stamps[0] > stamps[-1] else 0)
    assert info.duration_s == length


def test_columns_without_ages_and_with_strange_names(tmp_path: Path) -> None:
    kinds = {"observation-state": pa.list_(pa.float32(), 2), "Öl: a name": pa.float64()}
    columns = {"observation-state": [[1, 2], None, [3, 4], [5, 6]], "Öl: a name": [None] * 4}
    info = look(random_walks(tmp_path / "d.lance", [4], kinds=kinds, columns=columns))
    assert [(topic.share, topic.age_median_s) for topic in info.topics] == [(0.75, None), (0, None)]


def test_tokens_are_not_read(tmp_path: Path) -> None:
    path = random_walks(tmp_path / "d.lance", [400, 400])
    opened = lance.dataset(str(path))
    info = info_of(opened)
    assert opened.io_stats_snapshot().read_bytes < info.bytes / 10


def test_a_dataset_without_rows(tmp_path: Path) -> None:
    info = look(random_walks(tmp_path / "d.lance", []))
    assert (info.rows, info.duration_s, info.bytes, info.episodes) == (0, None, 0, ())
