"""A drive as a sequence of goals: an image of the camera every few seconds of a bag."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from omnivla_vision.goal_sequence.errors import BadGoalImageError, NoGoalSequenceError
from omnivla_vision.goal_sequence.source import BAG_FILES, Image, Picture
from omnivla_vision.images.raw import MAX_PIXELS
from omnivla_vision.images.stamps import NS_PER_S
from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.decoding import BagFrame, Decoder, FrameUndecodableError
from omnivla_vision.replay.roles import holds_video
from omnivla_vision.replay.selection import AmbiguousTopicError, select
from omnivla_vision.replay.steps import pictures_at


class BagSource:
    """Images of a bag, the first one at its beginning; each is named by the time at which it was recorded.

    Args:
        path: bag folder, or .mcap or .db3 file.
        spacing_s: seconds from one image to the next, by the recorder's clock; after a pause of the recording, more.
        image_topic: the camera's topic; empty: the only camera there is.
        start_s: seconds into the bag.
        duration_s: how much of it; None: to the end.
        max_pixels: larger images are refused.

    Raises:
        BagError: it cannot be read, or has no such camera.
        NoGoalSequenceError: it has several cameras.
    """

    def __init__(
        self,
        path: Path,
        *,
        spacing_s: float,
        image_topic: str = "",
        start_s: float = 0.0,
        duration_s: float | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.path = path
        self._spacing_ns = round(spacing_s * NS_PER_S)
        with Bag(path) as bag:
            try:
                self._selection = select(
                    bag,
                    image_topic=image_topic or None,
                    goal_elsewhere=True,
                    start_s=start_s,
                    duration_s=duration_s,
                    max_pixels=max_pixels,
                )
            except AmbiguousTopicError as error:
                raise NoGoalSequenceError(
                    f"{error}; for the node make a folder of it: `omnivla-vision goals make {path} --image-topic TOPIC`"
                ) from error
            self._seconds = bag.duration_s if duration_s is None else min(duration_s, bag.duration_s)

    @property
    def start_ns(self) -> int:
        """The bag's first message, by the recorder's clock."""
        return self._selection.bag_start_ns

    @property
    def most(self) -> int:
        """No more images than this."""
        return int(self._seconds * NS_PER_S) // self._spacing_ns + 1

    def parts(self) -> Iterator[bytes]:
        """The files' names, sizes and times: nobody edits a recording in place, and to read all of it may take long."""
        yield f"{self._spacing_ns} {self._selection}".encode()
        files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        for file in files:
            if file.suffix in BAG_FILES:
                status = file.stat()
                yield f"{file.name} {status.st_size} {status.st_mtime_ns}".encode()

    def pictures(self) -> Iterator[Picture]:
        """Look each up, or decode a video once.

        Raises:
            BadGoalImageError: the message at one of the times is no image.
            NoGoalSequenceError: there is none at all.
        """
        found = False
        with Bag(self.path) as bag:
            frames = self._video(bag) if holds_video(bag, self._selection.camera) else self._images(bag)
            for frame in frames:
                found = True
                seconds, nanoseconds = divmod(frame.time_ns, NS_PER_S)
                yield Picture(f"{seconds}.{nanoseconds:09d}", frame.rgb)
        if not found:
            raise NoGoalSequenceError(f"found no image of {self._selection.camera.name} in {self.path} to take")

    def picture(self, name: str) -> Image:
        """Look one up again, uint8 [H, W, 3]."""
        time_ns = int(name.replace(".", ""))
        selection = self._selection
        return next(pictures_at(self.path, selection.camera, [time_ns], max_pixels=selection.max_pixels))

    def _images(self, bag: Bag) -> Iterator[BagFrame]:
        selection = self._selection
        decoder, due_ns = Decoder(selection.max_pixels), selection.start_ns
        while selection.stop_ns is None or due_ns < selection.stop_ns:
            record = next(bag.records([selection.camera.name], start_ns=due_ns, stop_ns=selection.stop_ns), None)
            if record is None:
                return
            try:
                yield decoder.decode(record)
            except FrameUndecodableError as error:
                raise BadGoalImageError(
                    f"{error}; expected every image that the goal sequence takes of {self.path} to be one; choose "
                    "another spacing, or make a folder with `omnivla-vision goals make` and look at it"
                ) from error
            due_ns = self._after(record.time_ns)

    def _video(self, bag: Bag) -> Iterator[BagFrame]:
        """In front of the first key frame there is nothing to see, which is no fault of the recording."""
        selection = self._selection
        decoder, due_ns = Decoder(selection.max_pixels), selection.start_ns
        for record in bag.records([selection.camera.name], stop_ns=selection.stop_ns):
            with suppress(FrameUndecodableError):
                frame = decoder.decode(record)
                if frame.time_ns >= due_ns:
                    yield frame
                    due_ns = self._after(frame.time_ns)

    def _after(self, time_ns: int) -> int:
        """The next multiple of the spacing, so that delays of single messages do not add up."""
        passed = (time_ns - self._selection.start_ns) // self._spacing_ns
        return self._selection.start_ns + (passed + 1) * self._spacing_ns
