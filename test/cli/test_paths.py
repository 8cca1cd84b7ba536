"""One rule for the paths and the sizes of image files, wherever they are named."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from omnivla_vision.cli import COMMANDS, main
from omnivla_vision.cli.named_images import NamedImages
from omnivla_vision.images.files import ImageFileError, read_rgb
from test.presets import small_is_shallow

SMALL = ["--preset", "small", "--engine", "eager"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a picture of 48x64 pixels."""
    monkeypatch.setenv("HOME", str(tmp_path))
    cv2.imwrite(str(tmp_path / "a.png"), np.full((48, 64, 3), 9, np.uint8))
    return tmp_path


def test_the_home_directory_is_found(home: Path) -> None:
    assert read_rgb(Path("~/a.png")).shape == (48, 64, 3)
    with small_is_shallow():
        assert main(["encode", "--image=~/a.png", "--goal=~/a.png", "--out=~/t.safetensors", *SMALL]) == 0
    assert (home / "t.safetensors").is_file()


def test_a_home_that_is_not_there_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageFileError, match="no such home directory"):
        read_rgb(Path("~nobody_of_this_name/a.png"))
    with pytest.raises(SystemExit):
        main(["encode", "--image=~nobody_of_this_name/a.png", "--out=x"])
    assert "no such home directory; write the whole path" in capsys.readouterr().err


def test_every_path_of_every_command_is_taken_that_way() -> None:
    subparsers = argparse.ArgumentParser().add_subparsers()
    for command in COMMANDS:
        command.add_parser(subparsers)
    commands = subparsers.choices
    for name, parser in commands.items():
        for action in parser._actions:
            assert action.type is not Path, f"{name} {action.dest}"
    assert isinstance(commands["encode"]._option_string_actions["--image"], NamedImages)  # `path` within


@pytest.mark.parametrize("image", ["--image", "--goal"])
def test_the_largest_image_of_encode(home: Path, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(home / "b.png"), np.zeros((8, 8, 3), np.uint8))
    other = "--goal" if image == "--image" else "--image"
    arguments = ["encode", image, str(home / "a.png"), other, str(home / "b.png"), "--out", str(home / "t"), *SMALL]
    assert main([*arguments, "--max-image-pixels", "3071"]) == 1
    assert "a.png: found an image of 64x48 pixels; expected at most 3071 pixels" in capsys.readouterr().err
    with small_is_shallow():
        assert main([*arguments, "--max-image-pixels", "3072"]) == 0
