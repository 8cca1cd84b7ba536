"""What turns recordings into rows, in this process or on a node of a cluster: it holds the encoder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import pyarrow as pa

from omnivla_vision.dataset.columns import schema_of
from omnivla_vision.dataset.description import Description, describe
from omnivla_vision.dataset.errors import RecordingError
from omnivla_vision.dataset.making.fragments import FragmentWriter
from omnivla_vision.dataset.making.rows import Rows
from omnivla_vision.dataset.recording import Episode, Recording, SourceFrame
from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.errors import VisionError
from omnivla_vision.loading import EncoderOptions, load_encoder
from omnivla_vision.replay.prefetch import Prefetch


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be made; it can be pickled.

    Attributes:
        uri: of the dataset; a folder is the same on every node.
        encoder: what encodes.
        dtype: "float16" or "bfloat16".
        images: whether the frames are kept, as JPEG.
        sampling: see `Description`.
        topics: see `Description`.
        values: types of those columns.
        storage_options: of an object store, see Lance.
        made_by: see `Description`.
    """

    uri: str
    encoder: EncoderOptions
    dtype: str = "float16"
    images: bool = False
    sampling: str = "every frame"
    topics: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, pa.DataType] = field(default_factory=dict)
    storage_options: Mapping[str, str] = field(default_factory=dict)
    made_by: str = ""


@dataclass(frozen=True)
class Job:
    """A recording, and the index that its episode gets."""

    index: int
    recording: Recording


@dataclass(frozen=True, kw_only=True)
class Done:
    """What came of a job: fragments to commit, with the episode's record; or, if it is broken, the reason."""

    job: Job
    fragments: tuple[str, ...] = ()
    episode: Episode | None = None
    problem: str = ""


class Worker:
    """Turns one recording after another into fragments of the dataset.

    Args:
        request: what is to be made.
        encoder: of one camera, without a goal; None: what the request says is loaded.

    Attributes:
        description: of the rows that it makes.
        warnings: what its user should know of weights and engine.

    Raises:
        VisionError: the encoder cannot be had.
    """

    def __init__(self, request: Request, encoder: VisionEncoder | None = None) -> None:
        self.warnings: tuple[str, ...] = ()
        if encoder is None:
            loaded = load_encoder(replace(request.encoder, takes_goal=False, history_frames=0, cameras=("current",)))
            encoder, self.warnings = loaded.encoder, loaded.warnings
        self._encoder = encoder
        self._encoder.warm_up()
        self.description: Description = replace(
            describe(
                self._encoder.layout,
                self._encoder.provenance,
                dtype=request.dtype,
                images=request.images,
                sampling=request.sampling,
                topics=request.topics,
            ),
            made_by=request.made_by,
        )
        self._request = request
        self.schema = schema_of(self.description, request.values)

    def work(self, job: Job, frames_done: Callable[[int], None] = lambda _: None) -> Done:
        """Encode a recording and write its rows, not yet committed.

        Raises:
            DatasetWriteError: the storage refuses.
            NonFiniteTokensError: the tokens do not fit into the dtype.
        """
        rows = Rows(job.recording, job.index, self.schema, self.description)
        try:
            with (
                FragmentWriter(self._request.uri, self.schema, self._request.storage_options) as writer,
                Prefetch(lambda: _guarded(job.recording)) as frames,
            ):
                for group in rows.groups(frames, self._encoder, frames_done):
                    writer.write(partial(rows.batch, group))
                fragments = writer.finish()
        except (_BrokenRecordingError, RecordingError) as error:
            return Done(job=job, problem=str(error))
        return Done(job=job, fragments=fragments, episode=rows.episode)


class _BrokenRecordingError(Exception):
    """Reading failed, and not the encoder, nor the dataset's storage."""


def _guarded(recording: Recording) -> Generator[SourceFrame, None, None]:
    try:
        yield from recording.frames()
    except VisionError as error:
        raise _BrokenRecordingError(str(error)) from error
