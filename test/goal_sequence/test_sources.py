"""Where the images of a sequence come from: their order, and every refusal."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

from omnivla_vision.goal_sequence.errors import BadGoalImageError, GoalNumberingError, NoGoalSequenceError
from omnivla_vision.goal_sequence.source import Source, open_source
from omnivla_vision.replay.bag import BagMissingError
from omnivla_vision.resources import resource_path

DRIVE = Path(resource_path("resource/sample_drive"))


def opened(path: Path, spacing_s: float = 2.0) -> Source:
    return open_source(path, spacing_s=spacing_s)


def test_a_folder_is_in_the_order_of_its_numbers(route: Path, pictures: list[NDArray[np.uint8]]) -> None:
    (route / "notes.txt").write_text("the way to the kitchen")
    (route / ".hidden.png").write_text("of a file manager")
    source = opened(route)
    found = list(source.pictures())
    assert [picture.name for picture in found] == ["2.png", "9.png", "10.png", "11.png"]
    assert all(np.array_equal(p.rgb, expected) for p, expected in zip(found, pictures, strict=True))
    assert source.most == 4
    assert np.array_equal(source.picture("10.png"), pictures[2])


def test_what_identifies_a_folder_is_what_is_in_it(route: Path, tmp_path: Path) -> None:
    parts = list(opened(route).parts())
    copy = tmp_path / "copy"
    shutil.copytree(route, copy)
    assert list(opened(copy).parts()) == parts
    shutil.copy(copy / "2.png", copy / "9.png")
    assert list(opened(copy).parts()) != parts


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("02.png", GoalNumberingError, "02.png and 2.png"),
        ("10.JPG", GoalNumberingError, "10.JPG and 10.png"),
        ("sheet.png", GoalNumberingError, "sheet.png"),
        ("-1.png", GoalNumberingError, "-1.png"),
        ("\u0663.png", GoalNumberingError, "0.png, 1.png"),
    ],
)
def test_names_that_say_no_order(route: Path, name: str, error: type[Exception], words: str) -> None:
    shutil.copy(route / "2.png", route / name)
    with pytest.raises(error, match=words):
        opened(route)


def test_a_bad_image_is_named(route: Path) -> None:
    content = (route / "10.png").read_bytes()
    (route / "10.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadGoalImageError, match=r"10\.png.*every image of the goal sequence"):
        list(opened(route).pictures())


def test_nothing_to_take(tmp_path: Path) -> None:
    with pytest.raises(NoGoalSequenceError, match=r"no image in .*0\.png"):
        opened(tmp_path)
    with pytest.raises(NoGoalSequenceError, match="No such file"):
        opened(tmp_path / "nowhere")
    with pytest.raises(BagMissingError):
        opened(tmp_path / "nowhere.mcap")


@pytest.mark.parametrize("path", [DRIVE, DRIVE / "sample_drive.mcap"], ids=["folder", "file"])
def test_a_bag_gives_an_image_every_few_seconds(path: Path) -> None:
    source = opened(path)
    found = list(source.pictures())
    times = [float(picture.name) for picture in found]
    assert len(found) == source.most == 7
    assert np.allclose(np.diff(times), 2.0, atol=0.1)
    assert np.array_equal(source.picture(found[3].name), found[3].rgb)
    assert len(list(opened(path, 5.0).pictures())) == 3
    assert list(opened(path, 5.0).parts()) != list(source.parts())
