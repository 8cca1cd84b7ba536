from __future__ import annotations

from pathlib import Path

import pytest

from omnivla_vision.dataset.errors import NoRecordingError
from omnivla_vision.dataset.recordings.find_bags import find_bags
from test.replay import bags


def make(path: Path) -> Path:
    """A file that nobody opens here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_folders_of_bags_in_natural_order(tmp_path: Path) -> None:
    two = bags.write(tmp_path / "drive_2", bags.drive(1, goal=False))
    ten = bags.write(tmp_path / "drive_10", bags.drive(1, goal=False))
    deep = (
        bags.write(tmp_path / "more" / "a", bags.drive(1, goal=False)) if (tmp_path / "more").mkdir() is None else two
    )
    make(tmp_path / "notes.txt")
    assert find_bags([tmp_path]) == [two, ten, deep]
    assert find_bags([ten, tmp_path]) == [ten, two, deep]


def test_files_in_a_folder_are_bags_each(tmp_path: Path) -> None:
    first, second = make(tmp_path / "run_1.mcap"), make(tmp_path / "run_2.db3")
    assert find_bags([tmp_path]) == [first, second]


def test_what_a_killed_recorder_left_is_one_bag(tmp_path: Path) -> None:
    folder = make(tmp_path / "drive" / "drive_0.mcap").parent
    make(folder / "drive_1.mcap")
    assert find_bags([tmp_path]) == [folder]


def test_links_upwards_do_not_go_round(tmp_path: Path) -> None:
    bag = make(tmp_path / "a.mcap")
    (tmp_path / "again").symlink_to(tmp_path)
    assert find_bags([tmp_path]) == [bag]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NoRecordingError, match="found nothing at"):
        find_bags([tmp_path / "nowhere"])
    with pytest.raises(NoRecordingError, match="found no bag in"):
        find_bags([tmp_path])
