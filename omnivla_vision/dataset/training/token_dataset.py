"""A dataset of tokens, as torch's trainers want it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from omnivla_vision.dataset.columns import EPISODE_INDEX, FRAME_INDEX, STAMP_NS
from omnivla_vision.dataset.errors import NoItemsError, UnfitDatasetError
from omnivla_vision.dataset.training.hindsight import NONE, Hindsight, draws_of
from omnivla_vision.dataset.training.snapshot import Snapshot
from omnivla_vision.dataset.training.tensors import tokens_of
from omnivla_vision.dataset.training.window import Window, spread


class TokenDataset(Dataset):
    """Frames of a dataset with a goal and with what other topics said, one item a frame.

    An item is a dict; torch's default collation makes batches of it:

    - `tokens`: [tokens, width] float16 or bfloat16, as the dataset's `description.outputs[0]` says. Further outputs
      have entries of their own, under their columns' names (`tokens_NAME`).
    - `stamp_ns`, `episode_index`, `frame_index`: int64.
    - with `goal`: `goal` (and `goal_NAME`), like `tokens`; `goal_valid`, bool; `goal_frames` and `goal_seconds`, int64
      and float64, how far ahead it lies. Without a goal these are zeros.
    - with `columns`: each field under its name ("/cmd_vel.linear"), [len(window), ...] in its own dtype, unsigned
      integers as int64; a text or a picture as a list of len(window). Where there was no value: NaN, 0, False, "".
      `window_valid`, bool [len(window)]: False where the window reaches beyond the episode, and has its nearest row.

    The rows are those that the dataset has when this is made: others may be added meanwhile. It can be pickled, and
    read in DataLoader's workers however they start; in those that are forked (Linux's default before Python 3.14) a
    process beside each one reads, at some cost: "forkserver" is leaner. The index takes about 40 bytes a row.

    Args:
        uri: a folder that `omnivla-vision dataset` made, or a URI that Lance knows.
        goal: how goals are chosen; None: items have none.
        seed: with the epoch and the item's number all that the choice depends on.
        window: rows relative to the frame's own, of the same episode and camera, for `columns`.
        columns: of other topics; a struct's name stands for all its numbers, "/odom.twist.twist" for those below it.
        storage_options: of an object store, see Lance.

    Attributes:
        description: what computed the tokens, and their shapes.
        episode_index, camera: int32 and str [len(self)], of each item: to split by, with `torch.utils.data.Subset`.

    Raises:
        DatasetSupportMissingError: Lance is not installed.
        NotATokenDatasetError: there is no dataset of tokens.
        DatasetFormatError: a later version wrote it.
        UnknownColumnError: it has no such column.
        NoItemsError: it has no rows, or none with a goal.
    """

    def __init__(
        self,
        uri: str | os.PathLike[str],
        *,
        goal: Hindsight | None = None,
        seed: int = 0,
        window: Sequence[int] = range(1),
        columns: Sequence[str] = (),
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self._snapshot = Snapshot(os.fspath(uri), storage_options)
        self._index = self._snapshot.index
        self.description = self._snapshot.description
        self._window = Window(self._snapshot, window, columns)
        self._goal = goal
        self._seed = seed
        # Shared with workers that live longer than an epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._positions = np.arange(len(self._index.rows))
        if goal is not None:
            first, end = goal.choices(self._index)
            self._positions = np.flatnonzero(first < end)
            self._first, self._end = first[self._positions], end[self._positions]
        if not len(self._positions):
            raise NoItemsError(
                f"found {len(self._index.rows)} frames in {uri}, and no item (goals: {goal}); expected at least one; "
                "add longer recordings, choose goals nearer, or by frames where stamps are unknown (0)"
            )

    def set_epoch(self, epoch: int) -> None:
        """Other goals for the same items; workers that are at rest see it, too."""
        self._epoch.fill_(epoch)

    def check(self, *, fingerprint: str, preprocessing_id: str) -> None:
        """Make sure that a policy trained on these tokens will get the same ones from its robot.

        Args:
            fingerprint: of the policy's weights, as in `policy.Expectation`; empty: any will do.
            preprocessing_id: the policy's, as there.

        Raises:
            UnfitDatasetError: it will not.
        """
        wanted = {"fingerprint": fingerprint or self.description.fingerprint, "preprocessing_id": preprocessing_id}
        for name, value in wanted.items():
            if (found := getattr(self.description, name)) != value:
                raise UnfitDatasetError(
                    f"found tokens of {name.replace('_', ' ')} {found} in {self._snapshot.uri}; expected {value}; "
                    "make a dataset with the policy's own checkpoint and preset"
                )

    @property
    def episode_index(self) -> NDArray[np.int32]:
        """See the class."""
        return self._index.episodes[self._index.track(self._positions)]

    @property
    def camera(self) -> NDArray[np.str_]:
        """See the class."""
        return np.array(self._index.cameras)[self._index.track(self._positions)]

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """A batch of items: every row is read once, all in one go.

        Raises:
            DatasetReadError: the storage refuses.
            DatasetChangedError: another dataset lies there now.
        """
        chosen = np.asarray(numbers, np.int64)
        positions = self._positions[chosen]  # an IndexError ends a loop over all items
        track = self._index.track(positions)
        items: list[dict[str, Any]] = [{} for _ in positions]
        spread(items, STAMP_NS, torch.from_numpy(self._index.stamps_ns[positions]))
        spread(items, EPISODE_INDEX, torch.from_numpy(self._index.episodes[track].astype(np.int64)))
        spread(items, FRAME_INDEX, torch.from_numpy(positions - self._index.starts[track]))
        goals = self._goals(chosen % len(self)) if self._goal is not None else None
        self._add_tokens(items, positions, goals)
        if goals is not None:
            self._add_distance(items, positions, goals)
        self._window.add(items, positions)
        return items

    def _goals(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions, or `NONE`."""
        assert self._goal is not None
        draws = draws_of(self._seed, int(self._epoch), chosen)
        return self._goal.choose(draws, self._first[chosen], self._end[chosen])

    def _add_tokens(
        self, items: list[dict[str, Any]], positions: NDArray[np.int64], goals: NDArray[np.int64] | None
    ) -> None:
        wanted = positions if goals is None else np.concatenate([positions, goals[goals != NONE]])
        rows, places, counts = np.unique(self._index.rows[wanted], return_inverse=True, return_counts=True)
        table = self._snapshot.take(rows, [output.column for output in self.description.outputs])
        for output in self.description.outputs:
            tokens = tokens_of(table[output.column], output, self.description.dtype)
            # Nobody shares memory with another item: who changes one in place must not change both.
            own = (tokens[place].clone() if counts[place] > 1 else tokens[place] for place in places)
            for item in items:
                item[output.column] = next(own)
            if goals is not None:
                name = output.column.replace("tokens", "goal", 1)
                for item, goal in zip(items, goals, strict=True):
                    item[name] = torch.zeros_like(tokens[0]) if goal == NONE else next(own)

    def _add_distance(
        self, items: list[dict[str, Any]], positions: NDArray[np.int64], goals: NDArray[np.int64]
    ) -> None:
        to = np.where(goals == NONE, positions, goals)
        stamps = self._index.stamps_ns
        spread(items, "goal_valid", torch.from_numpy(goals != NONE))
        spread(items, "goal_frames", torch.from_numpy(to - positions))
        spread(items, "goal_seconds", torch.from_numpy((stamps[to] - stamps[positions]) / 1e9))
