"""What several kinds of tests need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from omnivla_vision.images.files import read_rgb
from omnivla_vision.resources import resource_path
from test.replay.browser import CHROMIUM, DRIVER, Browser, browser


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """One worker per file, where pytest-xdist is: the tests of a file may share a node, and run in their order."""
    if config.getoption("numprocesses", None) and config.option.dist == "no":
        config.option.dist = "loadfile"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember what failed, for tmp_path."""
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed  # type: ignore[attr-defined]


@pytest.fixture
def tmp_path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """pytest's own, removed after a test that passed: all of them together are 13 GB of weights and engines.

    From pytest 7.3 on that is an option; Ubuntu 22.04 has 6.2.
    """
    yield tmp_path
    if not request.node.failed:
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Engines that tests build do not belong into the user's cache; child processes inherit this."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for pages that are written."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="session")
def timm() -> ModuleType:
    """timm, the independent reference; it imports torchvision, whose compiled half has no CPU build for this torch."""
    torch = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    timm = pytest.importorskip("timm")  # or torchvision is missing
    timm._torchvision_operators = library  # an unreferenced library takes its operators with it
    return timm


@pytest.fixture(scope="session")
def transformers(timm: ModuleType) -> ModuleType:
    """transformers, another independent reference; it imports torchvision, too."""
    return pytest.importorskip("transformers", minversion="4.56")  # the first with DINOv3


@pytest.fixture(scope="session")
def photographs() -> list[NDArray[np.uint8]]:
    """Real photographs, RGB uint8 [H, W, 3] of different sizes."""
    paths = sorted(Path(resource_path("resource")).glob("p*/*.[pj][np]g"))
    assert len(paths) >= 5
    return [read_rgb(path) for path in paths]
