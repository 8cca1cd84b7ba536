"""Past frames on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.cli import main
from omnivla_vision.tokens.files import TokenFile, read_token_file
from test.presets import small_is_shallow


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with four pictures of a size and one of another."""
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        size = (40, 60 if number == 4 else 50, 3)
        cv2.imwrite(f"{number}.png", np.random.default_rng(number).integers(0, 255, size, np.uint8))
    return tmp_path


def encode(*arguments: str) -> int:
    with small_is_shallow():
        return main(["encode", *arguments, "--preset=small", "--no-goal", "--out=t"])


def encoded(*arguments: str) -> TokenFile:
    assert encode(*arguments) == 0
    return read_token_file(Path("t"))


def test_past_frames_are_given_the_oldest_first() -> None:
    history = ("--history-frames=2", "--history-pool=none")
    read = encoded("--image=3.png", "--past", "0.png", "1.png", "2.png", *history)
    assert (read.past_image_names, read.past_image_valid) == (["t-1f", "t-2f"], [True, True])
    for past, file in zip(read.tensors["history"], ("2.png", "1.png"), strict=True):
        assert torch.equal(past, encoded(f"--image={file}").tensors["tokens"][0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--image=3.png", "--past", "0.png", "1.png"), "which takes no past frames; .*add --history-frames 2"),
        (("--image=a=3.png", "--image=b=2.png", "--past", "0.png"), "encode one camera at a time"),
        (("--image=3.png", "--past", "4.png", "--history-frames=1"), "found 4.png of 60x40; expected 50x40"),
        (
            ("--image=3.png", "--past", "0.png", "--history-frames=1", "--history-spacing=1s"),
            "found an image without a stamp",
        ),
        (("--image=3.png", "--history-frames=1", "--history-spacing=often"), "found spacing 'often'"),
        (("--image=3.png", "--history-frames=1", "--history-pool=20x20"), "found pooling 20x20 of 16x16 patches"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert encode(*arguments) != 0
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(sentence, error), error
    assert not Path("t").exists()
