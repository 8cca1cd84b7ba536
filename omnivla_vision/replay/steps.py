"""A bag as a sequence of steps: camera frames and goal images in the order in which they were recorded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.encoder import stage
from omnivla_vision.images.raw import MAX_PIXELS
from omnivla_vision.replay.bag import Bag, BagUnreadableError, Topic
from omnivla_vision.replay.decoding import BagFrame, Decoder, FrameUndecodableError, stamp_ns
from omnivla_vision.replay.roles import holds_video
from omnivla_vision.replay.selection import EmptyWindowError, Selection
from omnivla_vision.replay.storage.base import Record


@dataclass(frozen=True, kw_only=True)
class Step:
    """One message of the camera or of the goal. `frame` is None where it is no usable image; `problem` says why.

    `stage_ms` holds the milliseconds that decoding took.
    """

    record: Record
    is_goal: bool
    frame: BagFrame | None
    problem: str = ""
    stage_ms: dict[str, float] = field(default_factory=dict)


def read_records(bag: Bag, selection: Selection) -> Generator[Record, None, None]:
    """The messages to play; a goal that came before the stretch to play comes first, as from a latched topic."""
    topics = [selection.camera.name]
    if selection.goal is not None:
        topics.append(selection.goal.name)
        if selection.start_ns > selection.bag_start_ns:
            yield from deque(bag.records([selection.goal.name], stop_ns=selection.start_ns), maxlen=1)
    yield from bag.records(topics, start_ns=selection.start_ns, stop_ns=selection.stop_ns)


def read_steps(
    path: Path, selection: Selection, *, wants: Callable[[int], bool] | None = None
) -> Generator[Step, None, None]:
    """Read and decode what is to be played.

    Args:
        path: the bag.
        selection: what of it.
        wants: told the stamp of every camera frame, in order; those that it does not want are passed over; None: all.

    Raises:
        BagUnreadableError: the bag breaks off, or holds nothing of what its index names.
        EmptyWindowError: not one camera message lies in the stretch to play.
    """
    cameras = 0
    decoder = Decoder(selection.max_pixels)
    with Bag(path) as bag:
        video = holds_video(bag, selection.camera)
        if selection.start_ns > selection.bag_start_ns and video:
            for record in bag.records([selection.camera.name], stop_ns=selection.start_ns):
                with suppress(FrameUndecodableError):
                    decoder.decode(record)
        for record in read_records(bag, selection):
            is_goal = record.topic != selection.camera.name
            cameras += not is_goal
            stage_ms: dict[str, float] = {}
            try:
                wanted = is_goal or wants is None or wants(stamp_ns(record))
                if not (wanted or video):
                    continue
                with stage(stage_ms, "decode"):
                    frame = decoder.decode(record)
                if not wanted:
                    continue
            except FrameUndecodableError as error:
                yield Step(record=record, is_goal=is_goal, frame=None, problem=str(error))
            else:
                yield Step(record=record, is_goal=is_goal, frame=frame, stage_ms=stage_ms)
    if not cameras and selection.frames:
        raise BagUnreadableError(
            f"found none of the {selection.frames} images of {selection.camera.name} that the index of {path} names; "
            "`ros2 bag reindex` or `mcap recover` may repair it"
        )
    if not cameras:
        raise EmptyWindowError(
            f"found no image of {selection.camera.name} between --start and the end of --duration; the bag lasts "
            f"{bag.duration_s:.1f} s"
        )


def frame_at(path: Path, topic: Topic, time_ns: int, *, max_pixels: int = MAX_PIXELS) -> BagFrame:
    """The first usable image recorded at or after a time.

    Raises:
        EmptyWindowError: there is none.
    """
    decoder = Decoder(max_pixels)
    with Bag(path) as bag:
        for record in bag.records([topic.name], start_ns=None if holds_video(bag, topic) else time_ns):
            with suppress(FrameUndecodableError):
                frame = decoder.decode(record)
                if frame.time_ns >= time_ns:
                    return frame
        raise EmptyWindowError(
            f"found no usable image of {topic.name} at or after {(time_ns - bag.start_ns) / 1e9:.1f} s; the bag lasts "
            f"{bag.duration_s:.1f} s"
        )


def pictures_at(path: Path, topic: Topic, times_ns: Sequence[int], *, max_pixels: int) -> Iterator[NDArray[np.uint8]]:
    """The images that were recorded at these times, in order: each is looked up, and a video is decoded once."""
    with Bag(path) as bag:
        if not holds_video(bag, topic):
            for time_ns in times_ns:
                record = next(bag.records([topic.name], start_ns=time_ns, stop_ns=time_ns + 1))
                yield Decoder(max_pixels).decode(record).rgb
            return
        decoder, wanted = Decoder(max_pixels), deque(times_ns)
        for record in bag.records([topic.name], stop_ns=times_ns[-1] + 1):
            with suppress(FrameUndecodableError):
                frame = decoder.decode(record)
                while wanted and wanted[0] == frame.time_ns:
                    wanted.popleft()
                    yield frame.rgb
