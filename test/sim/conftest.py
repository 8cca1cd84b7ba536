"""The MuJoCo example, which is no package: its folder goes on the path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from omnivla_vision.resources import resource_path

sys.path.insert(0, str(resource_path("examples/mujoco_corridor")))


@pytest.fixture(scope="module")
def corridor() -> Iterator[object]:
    """The world, drawn with EGL."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        from corridor import Corridor
    except ImportError as error:  # without MuJoCo, or without what it renders with
        pytest.skip(f"no MuJoCo ({error}): pip install 'omnivla-vision[sim]'")

    world = Corridor()
    yield world
    world.close()
