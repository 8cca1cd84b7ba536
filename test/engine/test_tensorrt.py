"""torch-tensorrt's partitioner on the full-size pair, for the versions of a Jetson Orin and for the newest.

This shows that every operator has a converter and that each encoder becomes one engine. It does not show that the
engine computes the right numbers: that is the gate's work, on a GPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

pytest.importorskip("torch")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent / "tensorrt_dryrun"
ROOT = HERE.parents[2]
# Where `make` puts each version of torch-tensorrt: .venv-tensorrt/<version>, and the TensorRT it calls.
VERSIONS = {"2.8.0": 10, "2.13.0": 11}
ENCODERS = ("dinov2", "siglip")
# All blocks are alike, so that one case at full depth shows that the whole becomes one engine, and few blocks the rest.
SHALLOW = 4
CASES = {
    "float16,1,uint8,full": 500,
    **{",".join((*case, str(SHALLOW))): 60 for case in product(("float16", "float32"), ("1", "2"), ("uint8", "stack"))},
    f"mixed,1,uint8,{SHALLOW}": 80,  # with the casts
}
# Rotary positions and a gated MLP: the preset, and its cases.
ROTARY, ROTARY_CASES = "dinov3-splus-224", [f"{precision},1,uint8,{SHALLOW}" for precision in ("float16", "mixed")]
UNCONVERTIBLE = f"float16,1,uint8,{SHALLOW},unconvertible"


DryRun = Callable[..., dict[str, dict]]


@pytest.fixture(scope="module", params=VERSIONS)
def dry_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DryRun:
    """The dry run of a preset's cases, in a process of its own."""
    version = request.param
    installed = ROOT / ".venv-tensorrt" / version
    if not (installed / "torch_tensorrt").is_dir():
        pytest.skip(f"torch-tensorrt {version} is not installed: make .venv-tensorrt/{version}")
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    stubs = tmp_path_factory.mktemp("stubs")
    for library in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        name = f"lib{library}.so.{VERSIONS[version]}"
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", stubs / name, HERE / "nvinfer_stub.c"],
            check=True,
        )

    def run(preset: str, *cases: str) -> dict[str, dict]:
        result = subprocess.run(
            [sys.executable, HERE / "dryrun.py", preset, *cases],
            env={**os.environ, "LD_LIBRARY_PATH": str(stubs), "PYTHONPATH": f"{ROOT}:{installed}"},
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        return json.loads(result.stdout.split("RESULT ")[-1])

    return run


@pytest.fixture(scope="module")
def partitions(dry_run: DryRun) -> dict[str, dict]:
    """The pair's results, of all cases in one process."""
    return dry_run("dinosiglip-224", *CASES, UNCONVERTIBLE)


def test_every_encoder_is_one_engine_with_every_operator(partitions: dict[str, dict]) -> None:
    for case, least in CASES.items():
        assert set(partitions[case]) == set(ENCODERS)
        for encoder, found in partitions[case].items():
            assert found["engines"] == 1, (case, encoder, found)
            assert found["converted"] == found["operators"], (case, encoder, found)
            # An empty graph would be fully converted, too.
            assert found["operators"] > least, (case, encoder, found)


def test_rotary_positions_are_in_the_engine(dry_run: DryRun) -> None:
    for case, found in dry_run(ROTARY, *ROTARY_CASES).items():
        assert found["dinov3"]["engines"] == 1, (case, found)
        assert found["dinov3"]["converted"] == found["dinov3"]["operators"] > 100, (case, found)


@pytest.mark.parametrize(
    ("preset", "encoders"), [("citywalker-350x630", ["dinov2"]), ("robottrack-384", ["dinov3", "siglip"])]
)
def test_a_class_token_a_rectangle_and_unequal_grids_are_one_engine_each(
    dry_run: DryRun, preset: str, encoders: list[str]
) -> None:
    for case, found in dry_run(preset, *ROTARY_CASES).items():
        assert list(found) == encoders
        for encoder in encoders:
            assert found[encoder]["engines"] == 1, (case, found)
            assert found[encoder]["converted"] == found[encoder]["operators"] > 80, (case, found)


def test_an_operator_without_converter_shows(partitions: dict[str, dict]) -> None:
    for found in partitions[UNCONVERTIBLE].values():
        assert found["converted"] < found["operators"]
