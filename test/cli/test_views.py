"""`--region` and `--mask`, with and without names, in the commands that take --image-path."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from omnivla_vision.cli import main, replay
from omnivla_vision.cli.options import encoder_options, node_parameters
from omnivla_vision.images.mask_file import read_mask
from omnivla_vision.tokens.files import TokenFile, read_token_file
from test.presets import small_is_shallow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two pictures, a mask of their size that hides the lower half, and one of another size."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.png", "b.png")):
        cv2.imwrite(name, np.random.default_rng(number).integers(0, 255, (40, 50, 3), np.uint8))
    lower = np.zeros((40, 50), np.uint8)
    lower[20:] = 255
    cv2.imwrite("mask.png", lower)
    cv2.imwrite("other.png", lower[:, :49])
    return tmp_path


def encode(*arguments: str) -> TokenFile:
    command = ["encode", "--image=a.png", "--goal=b.png", "--preset=small", "--out=t", *arguments]
    with small_is_shallow():
        assert main(command) == 0
    return read_token_file(Path("t"))


def test_options_are_for_all_images_or_for_those_named(folder: Path) -> None:
    plain, cut = encode(), encode("--region=0,0,1,0.5")
    assert cut.preprocessing_id == f"region:0,0,1,0.5|{plain.preprocessing_id}"
    cv2.imwrite("a.png", cv2.imread("a.png")[:20])  # the same by hand
    cv2.imwrite("b.png", cv2.imread("b.png")[:20])
    np.testing.assert_array_equal(encode().tokens, cut.tokens)


def test_repeated_options_are_joined_by_name(folder: Path) -> None:
    plain = encode()
    found = encode("--region=current=0,0,1,0.5", "--region", "goal=0,0,1,0.9", "--mask=goal=mask.png")
    fill = "fill=123,116,103"
    digest = read_mask(Path("mask.png")).digest
    assert found.preprocessing_id.split("|")[:4] == [
        "current=region:0,0,1,0.5",
        "goal=region:0,0,1,0.9",
        f"goal=mask:50x40:{digest}:{fill}",
        plain.preprocessing_id.split("|")[0],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--region=0,0,1",), "found region '0,0,1'; expected four numbers"),
        (("--region=0,0,0,1",), "found region 0,0,0,1, whose width is 0"),
        (("--region=0,0.5,1,0.6",), "not within the image"),
        (("--region=wrist=0,0,1,1",), "found a region for 'wrist'; expected a camera's name or the goal's"),
        (("--region=0,0,1,1", "--region=0,0,1,0.5"), "found '0,0,1,1' and '0,0,1,0.5' without a name; expected one"),
        (("--mask=nothing.png",), "found no mask nothing.png that can be read"),
        (("--mask=a.png",), "neither black nor white"),
        (("--mask=mask.png", "--region=0,0.5,1,0.5"), "hides all that region:0,0.5,1,0.5 leaves"),
        (("--mask=other.png",), "found an image of 50x40 pixels; expected 49x40, as its mask has"),
    ],
)
def test_what_is_refused(
    folder: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_is_shallow():
        assert main(["encode", "--image=a.png", "--goal=b.png", "--preset=small", "--out=t", *arguments]) != 0
    assert message in capsys.readouterr().err
    assert not Path("t").exists()


def test_a_node_is_given_the_same(folder: Path) -> None:
    parser = argparse.ArgumentParser()
    replay.add_parser(parser.add_subparsers())
    given = ["replay", "bag", "--region=front=0,0,1,0.8", "--region=0,0,1,1", "--mask=goal=a.png", "--mask=b.png"]
    arguments = parser.parse_args(given)
    parameters = node_parameters(arguments)
    assert parameters["region"] == "front=0,0,1,0.8; 0,0,1,1" == encoder_options(arguments).region
    assert parameters["mask"] == "goal=a.png; b.png"
