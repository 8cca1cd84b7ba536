"""How many bytes of a dataset's files belong to an episode."""

from __future__ import annotations

from collections import Counter
from typing import Any

from omnivla_vision.dataset.report.scan import EpisodeRows


class FragmentSizes:
    """Bytes of the data files, and an episode's part of them: by its share of each fragment's rows.

    Args:
        dataset: Lance's.

    Attributes:
        total: bytes of all data files; None where the storage does not tell.
    """

    def __init__(self, dataset: Any) -> None:
        self._per_row: dict[int, float] = {}
        self.total: int | None = 0
        for fragment in dataset.get_fragments():
            sizes = [file.file_size_bytes for file in fragment.metadata.files]
            if None in sizes or self.total is None:
                self.total = None
                continue
            self.total += sum(sizes)
            self._per_row[fragment.fragment_id] = sum(sizes) / max(1, fragment.metadata.num_rows)

    def share(self, rows: EpisodeRows) -> int | None:
        """Bytes of an episode; None where the storage does not tell."""
        if self.total is None:
            return None
        counts: Counter[int] = Counter()
        for camera in rows.cameras:
            counts.update(camera.fragments)
        return round(sum(self._per_row[fragment] * count for fragment, count in counts.items()))
