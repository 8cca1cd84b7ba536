"""Datasets whose frames come nearer and nearer to the last one, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from omnivla_vision.dataset.description import StoredOutput
from omnivla_vision.dataset.recording import Episode
from omnivla_vision.network.grid import Grid
from test.dataset import random_rows

OUTPUT = replace(random_rows.output(grid=(4, 4)), segments=(("dinov2", 24), ("siglip", 40)))
DESCRIPTION = replace(random_rows.description([OUTPUT]), weights="checkpoint")
CLASS_TOKEN = replace(OUTPUT, grid=Grid(1, 1), pooling="class")


def random_walks(
    path: Path,
    frames: Sequence[int],
    *,
    description: Any = DESCRIPTION,
    kinds: Mapping[str, Any] | None = None,
    columns: Mapping[str, list[Any]] | None = None,
    names: Sequence[str] = (),
) -> Path:
    """Write a dataset, each episode with a fragment of its own, at 10 Hz.

    Args:
        path: of the dataset.
        frames: of each episode.
        description: of its rows.
        kinds: types of further columns.
        columns: what is in them, and in others instead of the usual, for the frames of every episode.
        names: of the episodes.
    """

    from omnivla_vision.dataset.columns import schema_of
    from omnivla_vision.dataset.making.fragments import FragmentWriter
    from omnivla_vision.dataset.store import TokenStore

    described = replace(description, topics=dict.fromkeys(kinds or {}, "file"))
    schema = schema_of(described, kinds or {})
    with TokenStore(str(path)).held() as store:
        store.create_or_join(described, kinds or {}, schema)
        for index, count in enumerate(frames):
            cells = random_rows.rows(described, index, random_rows.drive(count), columns or {})
            for output in described.outputs:
                cells[output.column] = _walk(index, count, output, described.dtype)
            if names:
                episode = Episode.from_json(cells["episode_record"][-1])
                cells["episode_record"][-1] = replace(episode, id=names[index]).to_json()
            with FragmentWriter(str(path), schema) as writer:
                writer.write(partial(random_rows.batch_of, cells, schema))
                store.append(writer.finish())
    return path


def _walk(index: int, count: int, output: StoredOutput, dtype: str) -> list[Any]:
    steps = np.random.default_rng(index).standard_normal((count, output.elements)).astype(np.float32)
    walk = steps.cumsum(axis=0)
    return list(walk.astype(np.float16) if dtype == "float16" else (walk.view(np.uint32) >> 16).astype(np.uint16))
