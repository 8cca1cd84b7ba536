"""Frames in, rows out: a recording through the encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from typing import Any

import pyarrow as pa

from omnivla_vision.dataset.columns import (
    CAMERA,
    EPISODE,
    EPISODE_INDEX,
    EPISODE_RECORD,
    FRAME_INDEX,
    IMAGE,
    RECORDED_NS,
    STAMP_NS,
)
from omnivla_vision.dataset.description import Description
from omnivla_vision.dataset.errors import RecordingError
from omnivla_vision.dataset.recording import Episode, Recording, SourceFrame
from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.images.raw import ImageError
from omnivla_vision.tokens.packing import pack

# So many bytes of tokens are handed to the disk at once, and never more rows than that.
BATCH_BYTES = 4_000_000
BATCH_ROWS = 256
# A row's `TokenSet`, not yet packed.
_TOKENS = "token set"
# Reasons for rejected frames that are kept; the others are counted.
PROBLEMS = 5


class Rows:
    """The rows of one recording.

    Args:
        recording: where its frames come from.
        index: the episode's in the dataset.
        schema: the dataset's.
        description: the dataset's.

    Attributes:
        episode: what is to be kept of it; complete after the last batch.
    """

    def __init__(self, recording: Recording, index: int, schema: pa.Schema, description: Description) -> None:
        self._recording = recording
        self._index = index
        self._schema = schema
        self._description = description
        self._frames: Counter[str] = Counter()
        self._rejected = 0
        self._problems: list[str] = []
        self._first_ns = self._last_ns = 0

    @property
    def episode(self) -> Episode:
        """What is to be kept of the recording, as far as it was read."""
        return Episode(
            id=self._recording.id,
            index=self._index,
            path=str(self._recording.path),
            size=self._recording.size,
            frames=dict(self._frames),
            rejected=self._rejected,
            problems=tuple(self._problems),
            notes=self._recording.notes(),
            start_ns=self._first_ns,
            end_ns=self._last_ns,
        )

    def groups(
        self, frames: Iterable[SourceFrame], encoder: VisionEncoder, done: Callable[[int], None]
    ) -> Generator[list[dict[str, Any]], None, None]:
        """Encode every frame; the last row of the last group has the episode's record.

        Args:
            frames: the recording's.
            encoder: of one camera, without a goal.
            done: called after every frame with the number read so far.

        Raises:
            RecordingError: none of its frames is a usable image.

        Yields:
            Rows for `batch` to make a record batch of.
        """
        per_row = 2 * sum(output.elements for output in self._description.outputs)
        most = max(1, min(BATCH_ROWS, BATCH_BYTES // per_row))
        waiting: list[dict[str, Any]] = []
        for number, frame in enumerate(frames, start=1):
            row = self._row(frame, encoder)
            if row is not None:
                if len(waiting) == most:  # never the last row: that one has the record
                    yield waiting
                    waiting = []
                waiting.append(row)
            done(number)
        if not waiting:
            reasons = "; ".join(self._problems) or "it holds none"
            raise RecordingError(
                f"found no usable image among {self._rejected} frames of {self._recording.path} ({reasons}); expected "
                "at least one"
            )
        waiting[-1][EPISODE_RECORD] = self.episode.to_json()
        yield waiting

    def _row(self, frame: SourceFrame, encoder: VisionEncoder) -> dict[str, Any] | None:
        if frame.rgb is None:
            self._reject(frame.problem)
            return None
        try:
            tokens = encoder.encode(frame.rgb, stamp_ns=frame.stamp_ns)
        except ImageError as error:  # another size than its mask's
            self._reject(str(error))
            return None
        row = {
            EPISODE: self._recording.id,
            EPISODE_INDEX: self._index,
            CAMERA: frame.camera,
            FRAME_INDEX: self._frames[frame.camera],
            STAMP_NS: frame.stamp_ns,
            RECORDED_NS: frame.recorded_ns,
            IMAGE: frame.jpeg,
            EPISODE_RECORD: None,
            _TOKENS: tokens,
            **frame.values,
        }
        self._frames[frame.camera] += 1
        self._first_ns = min(self._first_ns, frame.stamp_ns) if sum(self._frames.values()) > 1 else frame.stamp_ns
        self._last_ns = max(self._last_ns, frame.stamp_ns)
        return row

    def _reject(self, problem: str) -> None:
        self._rejected += 1
        if len(self._problems) < PROBLEMS:
            self._problems.append(problem)

    def batch(self, rows: list[dict[str, Any]]) -> pa.RecordBatch:
        """A group as a record batch, its tokens rounded as the node rounds them; may run in another thread.

        Raises:
            NonFiniteTokensError: the tokens do not fit into float16.
        """
        outputs = {output.column: place for place, output in enumerate(self._description.outputs)}
        return pa.record_batch(
            [
                self._tokens(rows, outputs[field.name], field.type)
                if field.name in outputs
                else pa.array([row.get(field.name) for row in rows], field.type)
                for field in self._schema
            ],
            schema=self._schema,
        )

    def _tokens(self, rows: list[dict[str, Any]], place: int, kind: pa.DataType) -> pa.Array:
        output = self._description.outputs[place]
        shape = len(rows) * output.tokens, output.width
        blocks = [block for row in rows for block in row[_TOKENS].outputs[place]]
        packed = pack(blocks, self._description.dtype, shape).data
        numbers = pa.Array.from_buffers(kind.value_type, len(rows) * output.elements, [None, pa.py_buffer(packed)])
        return pa.FixedSizeListArray.from_arrays(numbers, type=kind)
