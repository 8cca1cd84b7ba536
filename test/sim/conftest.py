"""The MuJoCo example, which is no package: its folder goes on the path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnivla_vision.resources import resource_path
from test.ros.conftest import ros_environment  # noqa: F401 - a domain of its own for every test worker

sys.path.insert(0, str(resource_path("examples/mujoco_corridor")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and "loop" in item.path.name:
            item.add_marker(pytest.mark.ros)


@pytest.fixture(scope="module")
def corridor() -> Iterator[object]:
    """The world, drawn with EGL."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    pytest.importorskip("mujoco", reason="no MuJoCo: pip install 'omnivla-vision[sim]'", exc_type=ImportError)
    from corridor import Corridor

    world = Corridor()
    yield world
    world.close()
