"""A small encoder, and folders of numbered images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from omnivla_vision.tokens.pictures import save_png
from test.presets import shallow

if TYPE_CHECKING:  # without torch, the tests are skipped
    from omnivla_vision.encoder import VisionEncoder


@pytest.fixture(scope="session")
def encoder() -> VisionEncoder:
    from test.encoders import random_encoder

    return random_encoder(shallow("small", 2), seed=3)


@pytest.fixture
def pictures() -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(3).integers(0, 256, (4, 40, 60, 3), np.uint8))


@pytest.fixture
def route(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    """2.png, 9.png, 10.png, 11.png: by their names' letters they would be in another order."""
    folder = tmp_path / "route"
    folder.mkdir()
    for number, picture in zip((2, 9, 10, 11), pictures, strict=True):
        save_png(folder / f"{number}.png", picture)
    return folder
