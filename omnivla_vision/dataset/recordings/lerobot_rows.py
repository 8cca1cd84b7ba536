"""One episode's rows out of a LeRobot data file, which may hold several: numbers, and pictures that lie among them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from omnivla_vision.dataset.errors import LeRobotError
from omnivla_vision.dataset.recordings.lerobot_info import reading

# Pictures that are held at once.
_BATCH = 16


def read_rows(file: Path, episode: int, columns: Mapping[str, pa.DataType], length: int) -> dict[str, list[Any]]:
    """The episode's values of some columns, frame by frame.

    Args:
        file: .parquet.
        episode: its index.
        columns: keys, and the types that their values must have.
        length: how many frames meta/episodes gives it.

    Raises:
        LeRobotError: the file is broken, lacks a column, or has other frames.
    """
    with reading(file):
        table = pq.read_table(
            file, columns=[*columns, "frame_index"], filters=[("episode_index", "=", episode)], partitioning=None
        )
        found = table["frame_index"].to_pylist()
        values = {key: table[key].to_pylist() for key in columns}
        for key, kind in columns.items():
            pa.array(values[key], kind)  # what does not fit is refused here, and not where the row is written
    if found != list(range(length)):
        raise LeRobotError(
            f"found {len(found)} frames of episode {episode} in {file}; expected numbers 0 to {length - 1} in order, "
            "as meta/episodes says; download the dataset again"
        )
    return values


def stored_pictures(file: Path, episode: int, key: str) -> Generator[bytes | None, None, None]:
    """The episode's pictures as PNG or JPEG files, frame by frame; None where there is none.

    Raises:
        LeRobotError: the file is broken, or lacks the column.
    """
    with reading(file), pq.ParquetFile(file) as content:
        groups = [number for number in range(content.num_row_groups) if _may_hold(content, number, episode)]
        for batch in content.iter_batches(_BATCH, row_groups=groups, columns=["episode_index", key]):
            for index, picture in zip(batch["episode_index"].to_pylist(), batch[key], strict=True):
                if index == episode:
                    yield picture["bytes"].as_py()


def _may_hold(content: pq.ParquetFile, group: int, episode: int) -> bool:
    """By the smallest and the largest index in it, where the file says them."""
    metadata = content.metadata.row_group(group)
    for number in range(metadata.num_columns):
        column = metadata.column(number)
        if column.path_in_schema == "episode_index":
            known = column.statistics
            return known is None or not known.has_min_max or bool(known.min <= episode <= known.max)
    return True
