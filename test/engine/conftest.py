"""A network small enough to build every engine many times, with the structure of the real one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from omnivla_vision.network.presets import Preset
from test.presets import shallow

if TYPE_CHECKING:  # without torch, the tests are skipped
    from omnivla_vision.engine.reference import Reference
    from omnivla_vision.network.backbone import Backbone

FINGERPRINT = "random, seed 0"


def small_backbone(preset: Preset) -> Backbone:
    from omnivla_vision.network.backbone import build_backbone
    from omnivla_vision.network.random_weights import fill_random

    backbone = build_backbone(preset)
    fill_random(backbone, seed=0)
    return backbone


@pytest.fixture(scope="session")
def preset() -> Preset:
    """Two blocks per encoder of the small pair, two input sizes."""
    return shallow("small")


@pytest.fixture(scope="session")
def backbone(preset: Preset) -> Backbone:
    return small_backbone(preset)


@pytest.fixture(scope="session")
def reference(backbone: Backbone) -> Reference:
    from omnivla_vision.engine.reference import compute_reference

    return compute_reference(backbone)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "bundles"
