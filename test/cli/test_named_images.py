"""Several images on the command line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from omnivla_vision.cli import main
from omnivla_vision.tokens.files import TokenFile, read_token_file
from test.presets import small_is_shallow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three pictures; one has an = in its name."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.png", "b.png", "x=y.png")):
        cv2.imwrite(name, np.random.default_rng(number).integers(0, 255, (40, 50, 3), np.uint8))
    return tmp_path


def encode(*arguments: str) -> TokenFile:
    with small_is_shallow():
        assert main(["encode", *arguments, "--preset=small", "--out=t"]) == 0
    return read_token_file(Path("t"))


def test_images_come_in_the_order_of_the_command_line(folder: Path) -> None:
    one = encode("--image", "a.png", "--goal", "b.png")
    assert one.image_names == ["current", "goal"]
    two = encode("--image", "wrist=b.png", "--image", "full=a.png", "--goal", "b.png")
    assert two.image_names == ["wrist", "full", "goal"]
    wrist, full, goal = two.tokens[0].split(two.tokens_per_image)
    current = one.tokens[0][:256]
    np.testing.assert_allclose(full, current, rtol=0, atol=1e-4)
    np.testing.assert_allclose(wrist, goal, rtol=0, atol=1e-4)
    assert (full - wrist).abs().max() > 0.1
    assert encode("--image", "full=a.png", "--no-goal").image_names == ["full"]


def test_a_path_may_have_an_equals_sign(folder: Path) -> None:
    assert encode("--image", "./x=y.png", "--no-goal").image_names == ["current"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (("a.png", "b.png"), "several images, not all of them with a name; name each, for example full=a.jpg"),
        (("full=a.png", "b.png"), "several images, not all of them with a name"),
        (("a.png", "wrist=b.png"), "several images, not all of them with a name"),
        (("full=a.png", "full=b.png"), "two images of the name 'full'"),
        (("goal=a.png",), "found the name 'goal'; expected one or more different names"),
        (("full=~nobody_of_this_name/a.png",), "no such home directory"),
    ],
)
def test_names_that_do_not_do(
    folder: Path, images: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word for image in images for word in ("--image", image)]
    with pytest.raises(SystemExit) as refused:
        main(["encode", *arguments, "--out", "t"])
    assert refused.value.code == 2
    assert message in capsys.readouterr().err
