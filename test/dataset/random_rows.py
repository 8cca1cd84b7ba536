"""Datasets of random tokens, written as the real ones are, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from omnivla_vision.dataset.columns import schema_of
from omnivla_vision.dataset.description import Description, StoredOutput
from omnivla_vision.dataset.making.fragments import FragmentWriter
from omnivla_vision.dataset.recording import Episode
from omnivla_vision.dataset.store import TokenStore
from omnivla_vision.network.grid import Grid

TWIST = pa.struct(
    [("linear", pa.list_(pa.float64(), 3)), ("angular", pa.list_(pa.float64(), 3)), ("age_s", pa.float64())]
)


def output(name: str = "fused", column: str = "tokens", grid: tuple[int, int] = (2, 2), width: int = 8) -> StoredOutput:
    return StoredOutput(name=name, column=column, pooling="none", grid=Grid(*grid), segments=(("all", width),))


def description(outputs: Sequence[StoredOutput] = (output(),), dtype: str = "float16") -> Description:
    return Description(
        preset="none",
        weights="random",
        fingerprint="f00d",
        backbone_fingerprint="f00d",
        preprocessing_id="none:1",
        engine="none",
        precision="none",
        space="fused",
        dtype=dtype,
        outputs=tuple(outputs),
        images=False,
        sampling="every frame",
    )


def tokens(episode: int, camera: int, frame: int, elements: int) -> np.ndarray:
    """Of a frame: others for every frame."""
    return np.random.default_rng((episode, camera, frame)).standard_normal(elements).astype(np.float16)


def rows(
    described: Description, episode: int, frames: Sequence[tuple[int, int, int]], values: Mapping[str, Sequence[Any]]
) -> dict[str, list[Any]]:
    """Columns of one episode.

    Args:
        described: the dataset.
        episode: its index.
        frames: camera's number, frame's number and stamp of each row.
        values: columns of other topics.
    """
    columns: dict[str, list[Any]] = {
        "episode": [f"drive {episode}"] * len(frames),
        "episode_index": [episode] * len(frames),
        "camera": [f"/camera_{camera}" for camera, _, _ in frames],
        "frame_index": [frame for _, frame, _ in frames],
        "stamp_ns": [stamp for _, _, stamp in frames],
        "recorded_ns": [0] * len(frames),
        **{name: list(column) for name, column in values.items()},
    }
    for stored in described.outputs:
        found = [tokens(episode, camera, frame, stored.elements) for camera, frame, _ in frames]
        columns[stored.column] = found if described.dtype == "float16" else [item.view(np.uint16) for item in found]
    counts = {camera: columns["camera"].count(camera) for camera in dict.fromkeys(columns["camera"])}
    record = Episode(id=f"drive {episode}", index=episode, path="/none", size=0, frames=counts)
    columns["episode_record"] = [None] * (len(frames) - 1) + [record.to_json()]
    return columns


def write(
    uri: Path,
    episodes: Mapping[int, Sequence[tuple[int, int, int]]],
    *,
    described: Description | None = None,
    kinds: Mapping[str, pa.DataType] | None = None,
    values: Mapping[int, Mapping[str, Sequence[Any]]] | None = None,
) -> Path:
    """Episodes, index -> frames as in `rows`, into a dataset that may exist."""
    described = described or description()
    schema = schema_of(described, kinds or {})
    with TokenStore(str(uri)).held() as store:
        store.create_or_join(described, kinds or {}, schema)
        for index, frames in episodes.items():
            columns = rows(described, index, frames, (values or {}).get(index, {}))
            with FragmentWriter(str(uri), schema) as writer:
                writer.write(partial(batch_of, columns, schema))
                store.append(writer.finish())
    return uri


def batch_of(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pa.array(columns[item.name], item.type) for item in schema], schema=schema)


def drive(frames: int, *, every_ns: int = 100_000_000, cameras: int = 1) -> list[tuple[int, int, int]]:
    """Frames of one episode: camera after camera, stamps from 1 s on."""
    return list(_drive(frames, every_ns, cameras))


def _drive(frames: int, every_ns: int, cameras: int) -> Iterator[tuple[int, int, int]]:
    for camera in range(cameras):
        for frame in range(frames):
            yield camera, frame, 1_000_000_000 + frame * every_ns
