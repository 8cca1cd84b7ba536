"""A folder of OmniVLA's real size, 15 GB, loads within a robot's 8 GB, and nothing of it is in memory twice."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks.checkpoint_load import SHARD_BYTES, run_apart, write_folder

# Table of the two encoders in the documentation: 290.63 M and 397.20 M executed parameters, two bytes each.
EXECUTED_BYTES = 2 * (290.63e6 + 397.20e6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("omnivla")
    write_folder(folder, holes=True)
    return folder


def test_the_folder_is_as_large_as_the_real_one_but_for_the_disk(folder: Path) -> None:
    sizes = [file.stat().st_size for file in sorted(folder.glob("*.safetensors"))]
    assert sizes == [pytest.approx(size, rel=0.1) for size in SHARD_BYTES]
    assert sum(sizes) > 14.9e9
    assert sum(512 * file.stat().st_blocks for file in folder.iterdir()) < 1e6


@pytest.mark.slow
def test_the_peak_is_the_executed_tensors_and_eight_gigabytes_suffice(folder: Path) -> None:
    """`limited` runs with 8 GB of address space: mapping the first two shards would already exceed it."""
    result = run_apart("limited", folder)
    assert result["bytes"] == pytest.approx(EXECUTED_BYTES, rel=1e-4)
    assert 1.0 <= result["rss_growth_bytes"] / result["bytes"] <= 1.25
