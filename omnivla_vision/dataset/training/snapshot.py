"""A dataset as it was when it was opened, for every process that the opened one is handed to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from omnivla_vision.dataset.columns import EPISODE_INDEX, FRAME_INDEX, STAMP_NS
from omnivla_vision.dataset.description import Description
from omnivla_vision.dataset.errors import DatasetChangedError
from omnivla_vision.dataset.training.frame_index import FrameIndex
from omnivla_vision.dataset.training.reading import LanceReader, Reader, open_reader

# Rows that are compared when another process opens the dataset.
SAMPLES = 16


class Snapshot:
    """The rows that a dataset has now. Others may be added meanwhile: behind them, and earlier versions may go.

    It can be pickled, and forked.

    Args:
        uri: see `TokenDataset`.
        storage_options: see Lance.

    Attributes:
        schema: the dataset's.
        description: the same for people.
        index: where the frames are.

    Raises:
        DatasetSupportMissingError, NotATokenDatasetError, DatasetFormatError: see `TokenDataset`.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None) -> None:
        self.uri = uri
        self._storage_options = dict(storage_options or {})
        reader = LanceReader(uri, self._storage_options)
        self.schema: pa.Schema = reader.dataset.schema
        self.description = Description.of(self.schema.metadata)
        self.index = FrameIndex.of(reader.dataset)
        # By process: Lance's reader must not even be dropped in a fork of the process that made it.
        self._readers: dict[int, Reader] = {os.getpid(): reader}

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """See `Reader`.

        Raises:
            DatasetReadError: the storage refuses.
            DatasetChangedError: another dataset lies there now.
        """
        reader = self._readers.get(os.getpid())
        if reader is None:
            reader = open_reader(self.uri, self._storage_options)
            self._compare(reader)
            self._readers[os.getpid()] = reader
        return reader.take(rows, columns)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": {}}

    def _compare(self, reader: Reader) -> None:
        index = self.index
        spread = np.linspace(0, len(index.rows) - 1, SAMPLES).astype(np.int64)
        positions = np.union1d(spread, np.argmax(index.rows))  # where rows are gone, the last one is another
        track = index.track(positions)
        known = {
            EPISODE_INDEX: index.episodes[track],
            FRAME_INDEX: positions - index.starts[track],
            STAMP_NS: index.stamps_ns[positions],
        }
        table = reader.take(index.rows[positions], list(known))
        if not all(np.array_equal(table[name].to_numpy(), column) for name, column in known.items()):
            raise DatasetChangedError(
                f"found other rows in {self.uri} than those that were opened; expected at most new ones behind them; "
                "start again, and make or compact a dataset only when nobody reads it"
            )
