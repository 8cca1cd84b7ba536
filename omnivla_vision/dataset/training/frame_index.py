"""Where each frame's row lies: the rows of one episode and camera need not lie side by side, nor in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.dataset.columns import CAMERA, EPISODE_INDEX, FRAME_INDEX, STAMP_NS


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameIndex:
    """All frames, in the order of episode, camera and frame; a number in this order is a *position*.

    A *track* is what one camera saw in one episode: consecutive positions.

    Attributes:
        rows: int64 [frames], of the dataset.
        stamps_ns: int64 [frames].
        starts: int64 [tracks + 1], the first position of each track, and the number of frames.
        episodes: int32 [tracks], index of the episode.
        cameras: of each track.
    """

    rows: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]
    starts: NDArray[np.int64]
    episodes: NDArray[np.int32]
    cameras: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Any) -> FrameIndex:
        """Read the columns that say where a frame belongs.

        Args:
            dataset: Lance's.
        """
        table = dataset.to_table(columns=[EPISODE_INDEX, CAMERA, FRAME_INDEX, STAMP_NS])
        coded = table[CAMERA].combine_chunks().dictionary_encode()
        names = coded.dictionary.to_pylist()
        rank = np.argsort(np.argsort(np.array(names, dtype=object)))  # of equal tables, whatever camera came first
        episode, frame, stamps = (table[name].to_numpy() for name in (EPISODE_INDEX, FRAME_INDEX, STAMP_NS))
        camera = rank[coded.indices.to_numpy()]
        rows = np.lexsort((frame, camera, episode))
        episode, camera = episode[rows], camera[rows]
        changes = np.flatnonzero((np.diff(episode) != 0) | (np.diff(camera) != 0)) + 1
        firsts = np.concatenate([[0], changes]).astype(np.int64)[: len(rows)]
        return cls(
            rows=rows.astype(np.int64),
            stamps_ns=stamps[rows],
            starts=np.append(firsts, len(rows)).astype(np.int64),
            episodes=episode[firsts],
            cameras=tuple(sorted(names)[number] for number in camera[firsts]),
        )

    def track(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each position, its track."""
        return np.searchsorted(self.starts, positions, side="right") - 1

    def frame(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each position, the frame's number in its track, from 0."""
        return positions - self.starts[self.track(positions)]
