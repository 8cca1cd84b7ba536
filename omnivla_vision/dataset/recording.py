"""What a dataset is made of: recordings, each of which becomes one episode, and is one unit of work."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class SourceFrame:
    """One camera frame of a recording.

    Attributes:
        camera: the topic, or the name that a dataset of frames has for it.
        stamp_ns: when it was taken; 0 where nobody knows.
        recorded_ns: when it was recorded; 0 where nobody knows.
        rgb: uint8 [H, W, 3]; None where it is no usable image, and `problem` says why.
        jpeg: the picture as JPEG, if it is to be kept: as recorded, where it was recorded as such.
        values: for the columns of `Plan.values`; None or no entry where there was no value yet.
    """

    camera: str
    stamp_ns: int
    recorded_ns: int
    rgb: NDArray[np.uint8] | None
    problem: str = ""
    jpeg: bytes | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


class Recording(Protocol):
    """A bag, a folder of frames, or an episode of another dataset. A worker on another node gets it pickled.

    Attributes:
        id: the same wherever the recording lies, and another for another recording.
        path: where it lies.
        expected: how many frames it has; None where that is not known before it is read.
        size: bytes of its files.
    """

    @property
    def id(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def expected(self) -> int | None: ...
    @property
    def size(self) -> int: ...

    def notes(self) -> tuple[str, ...]:
        """Sentences that the reader of the dataset should know."""
        ...

    def frames(self) -> Generator[SourceFrame, None, None]:
        """Read and decode: camera after camera, each in the order in which it was recorded.

        Raises:
            VisionError: it breaks off, or has no frame at all.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Episode:
    """What a dataset keeps of a recording beside its rows.

    Attributes:
        id: the recording's.
        index: of the episode in the dataset; recordings that were broken leave gaps.
        path: where the recording lay.
        size: bytes of its files.
        frames: rows by camera.
        rejected: frames that were no usable images.
        problems: why, of the first few.
        notes: sentences about the recording.
        start_ns, end_ns: stamps of the first and of the last row.
    """

    id: str
    index: int
    path: str
    size: int
    frames: Mapping[str, int]
    rejected: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    start_ns: int = 0
    end_ns: int = 0

    def to_json(self) -> str:
        """For the column `columns.EPISODE_RECORD`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Episode:
        """Read it back."""
        record = json.loads(text)
        return cls(**{**record, "problems": tuple(record["problems"]), "notes": tuple(record["notes"])})

    @property
    def rows(self) -> int:
        """Of all cameras."""
        return sum(self.frames.values())
