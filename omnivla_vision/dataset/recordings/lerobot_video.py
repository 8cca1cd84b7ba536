"""Frames of one episode out of a video file that may hold several, found by their times."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from omnivla_vision.dataset.errors import LeRobotError
from omnivla_vision.replay.video import VideoSupportMissingError


def import_av() -> Any:
    """PyAV.

    Raises:
        VideoSupportMissingError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise VideoSupportMissingError(
            "found video, and no PyAV to decode it; install the extra: pip install 'omnivla-vision[dataset,video]'"
        ) from error
    return av


def frames_at(file: Path, times_s: Sequence[float], within_s: float) -> Generator[tuple[int, Any], None, None]:
    """Decode the frames at some times, one after the other.

    Args:
        file: of the video.
        times_s: in the file's own time, ascending.
        within_s: how far a frame may be off, less than half an interval.

    Yields:
        Index in `times_s`, and PyAV's frame; None where the video has none at that time.

    Raises:
        LeRobotError: no video, or one that breaks off.
        VideoSupportMissingError: PyAV is not installed.
    """
    av = import_av()
    if not times_s:
        return
    index = 0
    try:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # the encoder needs the other cores
            # To the last key frame before the first of them.
            container.seek(int(max(0.0, times_s[0] - within_s) / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time is None:
                    continue
                while index < len(times_s) and times_s[index] < frame.time - within_s:
                    yield index, None
                    index += 1
                if index == len(times_s):
                    return
                if times_s[index] <= frame.time + within_s:
                    yield index, frame
                    index += 1
                    if index == len(times_s):
                        return
    except (OSError, av.FFmpegError, IndexError) as error:
        raise LeRobotError(
            f"found {file}, which cannot be read as video ({type(error).__name__}: {error}); expected what "
            "meta/info.json calls one; download it again"
        ) from error
    for missing in range(index, len(times_s)):
        yield missing, None
