"""A dataset's rows without their tokens: narrow columns, streamed episode by episode, however long the dataset is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from omnivla_vision.dataset.columns import CAMERA, EPISODE_INDEX, FRAME_INDEX, RECORDED_NS, STAMP_NS

# Of a column that is a struct: seconds from a value to the frame beside it.
AGE = "age_s"
STAMPS, RECORDER = "stamps", "recorder"


@dataclass(frozen=True, kw_only=True)
class CameraRows:
    """The rows of one camera of one episode, in the order of its frames; arrays are [rows].

    Attributes:
        camera: its topic or name.
        places: int64, of the rows in the dataset, as Lance's `take` counts them.
        fragments: rows by number of the Lance fragment that they lie in.
        stamp_ns, recorded_ns: int64, 0 where nobody knows.
        present: bool, by topic: whether the row has a value.
        ages_s: float32, by topic: the value's age in seconds, NaN without one; no entry for columns without ages.
    """

    camera: str
    places: NDArray[np.int64]
    fragments: Mapping[int, int]
    stamp_ns: NDArray[np.int64]
    recorded_ns: NDArray[np.int64]
    present: Mapping[str, NDArray[np.bool_]]
    ages_s: Mapping[str, NDArray[np.float32]]

    @property
    def clock(self) -> str:
        """Whose times `times_ns` are: STAMPS, the RECORDER's where a stamp is unknown, or "" where both are."""
        if self.stamp_ns.all():
            return STAMPS
        return RECORDER if self.recorded_ns.all() else ""

    @property
    def times_ns(self) -> NDArray[np.int64] | None:
        """Of the frames, on one clock."""
        return {STAMPS: self.stamp_ns, RECORDER: self.recorded_ns}.get(self.clock)

    @property
    def elapsed_s(self) -> NDArray[np.float64] | None:
        """float64, seconds from the first frame on; a jump back counts as no time. None without times."""
        if self.times_ns is None:
            return None
        return np.concatenate([[0.0], np.maximum(np.diff(self.times_ns), 0) / 1e9]).cumsum()


@dataclass(frozen=True)
class EpisodeRows:
    """The rows of one episode, by camera."""

    index: int
    cameras: tuple[CameraRows, ...]


def episode_rows(dataset: Any, topics: Sequence[str]) -> Iterator[EpisodeRows]:
    """Read the narrow columns of a dataset, one episode after the other.

    An episode's rows are committed at once, and Lance keeps their order, also when it compacts: they are together.

    Args:
        dataset: Lance's.
        topics: columns of other topics of which presence and ages are read.
    """
    columns = {name: name for name in (EPISODE_INDEX, CAMERA, FRAME_INDEX, STAMP_NS, RECORDED_NS)}
    for number, topic in enumerate(topics):
        quoted = f"`{topic}`"
        columns[f"present_{number}"] = f"{quoted} IS NOT NULL"
        if has_age(dataset.schema.field(topic).type):
            columns[f"age_{number}"] = f"{quoted}.{AGE}"
    waiting: list[pa.RecordBatch] = []
    index, place = -1, 0
    for batch in dataset.scanner(columns=columns, with_row_address=True).to_batches():
        first = place
        place += batch.num_rows
        batch = batch.append_column("place", pa.array(np.arange(first, place, dtype=np.int64)))
        indices = batch[EPISODE_INDEX].to_numpy()
        starts = np.flatnonzero(np.diff(indices, prepend=index))
        for start, stop in zip([0, *starts], [*starts, batch.num_rows], strict=True):
            if start == stop:
                continue
            if waiting and indices[start] != index:
                yield _episode(index, waiting, topics)
                waiting = []
            index = int(indices[start])
            waiting.append(batch.slice(start, stop - start))
    if waiting:
        yield _episode(index, waiting, topics)


def has_age(kind: pa.DataType) -> bool:
    """Whether values of a column have an age beside them."""
    return bool(pa.types.is_struct(kind) and kind.get_field_index(AGE) >= 0)


def _episode(index: int, batches: list[pa.RecordBatch], topics: Sequence[str]) -> EpisodeRows:
    table = pa.Table.from_batches(batches)
    codes = table[CAMERA].combine_chunks().dictionary_encode()
    order = table[FRAME_INDEX].to_numpy()
    cameras = []
    for code, name in enumerate(codes.dictionary.to_pylist()):
        mine = np.flatnonzero(codes.indices.to_numpy() == code)
        rows = table.take(pa.array(mine[np.argsort(order[mine], kind="stable")]))
        cameras.append(_camera(name, rows, topics))
    return EpisodeRows(index, tuple(cameras))


def _camera(name: str, rows: pa.Table, topics: Sequence[str]) -> CameraRows:
    ages = {topic: f"age_{number}" for number, topic in enumerate(topics)}
    return CameraRows(
        camera=name,
        places=rows["place"].to_numpy(),
        fragments=_counts(rows["_rowaddr"].to_numpy() >> 32),
        stamp_ns=rows[STAMP_NS].to_numpy(),
        recorded_ns=rows[RECORDED_NS].to_numpy(),
        present={topic: _numpy(rows[f"present_{number}"]) for number, topic in enumerate(topics)},
        ages_s={
            topic: _numpy(rows[column]).astype(np.float32)
            for topic, column in ages.items()
            if column in rows.column_names
        },
    )


def _counts(numbers: NDArray[np.uint64]) -> dict[int, int]:
    found, counts = np.unique(numbers, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """Nulls of numbers become NaN."""
    values: NDArray[Any] = column.to_numpy()
    return values
