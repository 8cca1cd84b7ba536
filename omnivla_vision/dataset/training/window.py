"""What other topics said around a frame: rows before and after its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnivla_vision.dataset.columns import EPISODE_INDEX, FRAME_INDEX, STAMP_NS
from omnivla_vision.dataset.errors import UnknownColumnError
from omnivla_vision.dataset.training.snapshot import Snapshot
from omnivla_vision.dataset.training.tensors import fields_of, values_of


class Window:
    """Columns over some rows, beginning from a frame's own.

    Args:
        snapshot: of the dataset.
        offsets: rows relative to the frame's.
        columns: see `TokenDataset`.

    Raises:
        UnknownColumnError: there is no such column, or every item has it anyway.
    """

    def __init__(self, snapshot: Snapshot, offsets: Sequence[int], columns: Sequence[str]) -> None:
        own = {STAMP_NS, EPISODE_INDEX, FRAME_INDEX, *(output.column for output in snapshot.description.outputs)}
        if known := own & set(columns):
            raise UnknownColumnError(
                f"found {', '.join(sorted(known))} among the columns of the window; expected others: every item has "
                "these of its own frame"
            )
        self._snapshot = snapshot
        self._offsets = np.array(offsets, np.int64)
        self._fields = list(dict.fromkeys(field for name in columns for field in fields_of(snapshot.schema, name)))

    def add(self, items: Sequence[dict[str, Any]], positions: NDArray[np.int64]) -> None:
        """Into the items of these positions; nothing without columns."""
        if not self._fields:
            return
        index = self._snapshot.index
        track = index.track(positions)
        wanted = positions[:, None] + self._offsets
        there = np.clip(wanted, index.starts[track, None], index.starts[track + 1, None] - 1)
        rows, places = np.unique(index.rows[there], return_inverse=True)
        places = places.reshape(there.shape)  # numpy before 2 returns it flat
        table = self._snapshot.take(rows, self._fields)
        for field in self._fields:
            values = values_of(table, field)
            if isinstance(values, Tensor):
                spread(items, field, values[torch.from_numpy(places)])
            else:
                for item, row in zip(items, places, strict=True):
                    item[field] = [values[place] for place in row]
        spread(items, "window_valid", torch.from_numpy(there == wanted))


def spread(items: Sequence[dict[str, Any]], name: str, values: Tensor) -> None:
    """One value to each item."""
    for item, value in zip(items, values, strict=True):
        item[name] = value
