"""What a trainer gets of a dataset of tokens, against what Lance itself reads of the same rows, at random.

    python benchmarks/dataset_read.py --json benchmarks/results/dataset_read.json

Batches of items with goals, so that an item is two rows; each is read twice in turns, by `TokenDataset` and by Lance's
own `take` of its rows, in changing order, from files that the page cache holds. Random tokens: nothing that compresses.
Lance gives a table of Arrow's, `TokenDataset` items of torch's tensors, in this process; then a DataLoader that has one
worker collates them, forked (a process beside it reads) or from a forkserver.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from omnivla_vision.dataset import Hindsight, TokenDataset
from omnivla_vision.dataset.columns import schema_of
from omnivla_vision.dataset.description import Description, StoredOutput
from omnivla_vision.network.grid import Grid

CASES = {"dinosiglip-224": Grid(16, 16), "dinosiglip-224 pooled 8x8": Grid(8, 8)}
WIDTH = 2176
GOAL = Hindsight(frames=(5, 50))
DRIVE = 100  # rows


def write(uri: str, grid: Grid, rows: int) -> None:
    """Drives of 100 rows, one fragment each."""
    output = StoredOutput(name="fused", column="tokens", pooling="none", grid=grid, segments=(("fused", WIDTH),))
    texts = ("preset", "weights", "fingerprint", "backbone_fingerprint", "preprocessing_id", "engine", "precision")
    description = Description(
        **dict.fromkeys(texts, "none"),
        space="fused",
        dtype="float16",
        outputs=(output,),
        images=False,
        sampling="every frame",
    )
    schema = schema_of(description, {})
    for first in range(0, rows, DRIVE):
        reader = pa.RecordBatchReader.from_batches(schema, batches(schema, first // DRIVE, output.elements))
        lance.write_dataset(reader, uri, mode="append" if first else "create")


def batches(schema: pa.Schema, episode: int, elements: int) -> Iterator[pa.RecordBatch]:
    """Of one drive."""
    generator = np.random.default_rng(episode)
    for frame in range(DRIVE):
        tokens = generator.standard_normal(elements, dtype=np.float32).astype(np.float16)
        known = {
            "episode": str(episode),
            "episode_index": episode,
            "camera": "/camera",
            "frame_index": frame,
            "stamp_ns": frame * 10**8,
            "recorded_ns": 0,
            "tokens": tokens,
            "episode_record": None,
        }
        yield pa.record_batch([pa.array([known[item.name]], item.type) for item in schema], schema=schema)


def rows_of(items: list[dict[str, Any]]) -> NDArray[np.int64]:
    """Of Lance; here they are in the order of the frames."""
    now = np.array([int(item["episode_index"]) * DRIVE + int(item["frame_index"]) for item in items])
    return np.unique(np.concatenate([now, now + np.array([int(item["goal_frames"]) for item in items])]))


def in_pairs(data: TokenDataset, uri: str, batch: int, pairs: int) -> dict[str, Any]:
    """Milliseconds per row of both, and the median of the pairs' ratios."""
    plain = lance.dataset(uri)
    generator = np.random.default_rng(0)
    taken: dict[str, list[float]] = {"lance": [], "token_dataset": []}
    for pair in range(-3, pairs):  # three warm up
        numbers = generator.choice(len(data), batch, replace=False)
        rows = rows_of(data.__getitems__(numbers))
        calls = {
            "lance": lambda rows=rows: plain.take(rows, columns=["tokens"]),
            "token_dataset": lambda numbers=numbers: data.__getitems__(numbers),
        }
        for name in sorted(calls, reverse=bool(pair % 2)):
            start = time.perf_counter()
            kept = calls[name]()
            if pair >= 0:
                taken[name].append((time.perf_counter() - start) / len(rows))
            del kept
    ratios = [a / b for a, b in zip(taken["lance"], taken["token_dataset"], strict=True)]
    return {
        **{f"{name}_ms_per_row": round(statistics.median(times) * 1e3, 3) for name, times in taken.items()},
        "share_of_lance": round(statistics.median(ratios), 3),
        "pairs": pairs,
    }


def through_a_worker(data: TokenDataset, batch: int, count: int, start: str) -> float:
    """Items per second, collated, after the first ones."""
    numbers = np.random.default_rng(1).choice(len(data), (count, batch)).tolist()
    loader = DataLoader(data, batch_sampler=numbers, num_workers=1, multiprocessing_context=start)
    stamps = [time.perf_counter() for _ in loader][2:]
    return round(batch / statistics.median(after - before for before, after in pairwise(stamps)), 1)


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--batch", type=int, default=16, help="items")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="lance is not fork-safe")
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ")
    report = {
        "machine": {
            "cpu": cpu.partition(": ")[2],
            "cores": os.cpu_count(),
            "load_average_before": round(os.getloadavg()[0], 2),
            "torch": torch.__version__,
            "lance": lance.__version__,
            "python": platform.python_version(),
        },
        "results": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, grid in CASES.items():
            uri = f"{folder}/{grid.height}.lance"
            write(uri, grid, arguments.rows)
            data = TokenDataset(uri, goal=GOAL)
            row = {"case": name, "tokens": [grid.tokens, WIDTH], "rows": arguments.rows, "batch": arguments.batch}
            row |= in_pairs(data, uri, arguments.batch, arguments.pairs)
            for start in ("forkserver", "fork"):
                row[f"items_per_s_one_worker_{start}"] = through_a_worker(data, arguments.batch, 30, start)
            report["results"].append(row)
            print(json.dumps(row))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
