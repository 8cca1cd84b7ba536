"""Rotated files are taken as they are stored, as the public code's PIL does, and that is said."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivla_vision.images.exif import orientation
from omnivla_vision.images.files import read_rgb

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def save(path: Path, turn: int | None) -> Path:
    exif = Image.Exif()
    if turn is not None:
        exif[0x010F] = "maker"
        exif[0x0112] = turn
    Image.fromarray(RGB).save(path, exif=exif, lossless=True)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_note_names_file_and_rotation(
    tmp_path: Path, suffix: str, turn: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path / f"a{suffix}", turn)
    assert orientation(path.read_bytes()) == turn
    with caplog.at_level(logging.WARNING):
        rgb = read_rgb(path)
    assert rgb.shape == (40, 60, 3)
    if suffix != ".jpg":
        assert np.array_equal(rgb, np.asarray(Image.open(path).convert("RGB")))
    assert (f"{path}: found a picture that asks to be turned (EXIF orientation {turn})" in caplog.text) == (turn != 1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_without_exif_nothing_is_said(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    read_rgb(save(tmp_path / f"a{suffix}", None))
    assert not caplog.records


@pytest.mark.parametrize(
    "tail", [b"", b"II*\0", b"MM\0*\0\0\0\x08", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"junk"]
)
def test_broken_exif_is_upright(tail: bytes) -> None:
    assert orientation(b"Exif\0\0" + tail) == 1
