"""What is in a dataset, in words: the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence

from omnivla_vision.dataset.description import Description, StoredOutput
from omnivla_vision.dataset.report.info import DatasetInfo, EpisodeInfo, TopicInfo
from omnivla_vision.dataset.report.scan import RECORDER

EPISODE_COLUMNS = ("#", "episode", "frames", "length", "Hz", "gaps", "rejected", "size")
TOPIC_COLUMNS = ("topic", "type", "with value", "age, median", "age, max")
# Those of numbers, which are set to the right.
EPISODE_NUMBERS, TOPIC_NUMBERS = (0, 2, 3, 4, 5, 6, 7), (2, 3, 4)
UNKNOWN = "?"


def headline(info: DatasetInfo) -> list[tuple[str, str]]:
    """The numbers at a glance, each with what it is."""
    return [
        (f"{len(info.episodes):,}", "episode" if len(info.episodes) == 1 else "episodes"),
        (length(info.duration_s), "in all"),
        (f"{info.rows:,}", "frame" if info.rows == 1 else "frames"),
        (size(info.bytes), "on disk"),
    ]


def facts(info: DatasetInfo) -> list[tuple[str, str]]:
    """Names and values: what computed the tokens, and what they are."""
    description = info.description
    return [
        ("weights", description.weights),
        ("fingerprint", description.fingerprint.removeprefix("weights: ")),
        ("preset", description.preset),
        ("engine", f"{description.engine}, {description.precision}"),
        ("", description.notice),
        ("preprocessing", description.preprocessing_id),
        *((output.column, _output(output, description)) for output in description.outputs),
        ("rows", f"{description.sampling}, {'with' if description.images else 'without'} pictures"),
        ("made by", description.made_by),
    ]


def warnings(info: DatasetInfo) -> list[str]:
    """What its reader should know, apart from random weights."""
    sentences = []
    if info.broken:
        sentences.append(f"{count(len(info.broken), 'recording')} could not be used.")
    if info.rejected:
        sentences.append(f"{count(info.rejected, 'frame')} of {info.rejected + info.rows:,} were no usable images.")
    backwards = sum(camera.jumps_back for episode in info.episodes for camera in episode.cameras)
    if backwards:
        sentences.append(f"Stamps go back {count(backwards, 'time')}: a looped bag, or a clock that was set.")
    clocks = [camera.clock for episode in info.episodes for camera in episode.cameras]
    if RECORDER in clocks:
        sentences.append(f"Stamps of {clocks.count(RECORDER):,} of {len(clocks):,} cameras are the recorder's.")
    if "" in clocks:
        sentences.append(f"{clocks.count(''):,} of {len(clocks):,} cameras have frames without times.")
    return sentences


def episode_cells(info: EpisodeInfo) -> Sequence[str]:
    """A row of a table with EPISODE_COLUMNS."""
    rates = sorted({f"{camera.rate_hz:.3g}" for camera in info.cameras if camera.rate_hz is not None})
    gaps = info.gaps
    return (
        str(info.episode.index),
        info.episode.id,
        f"{info.rows:,}",
        length(info.duration_s),
        ", ".join(rates) or UNKNOWN,
        f"{len(gaps)}, to {length(max(gap.length_s for gap in gaps))}" if gaps else "0",
        f"{info.episode.rejected:,}",
        size(info.bytes),
    )


def topic_cells(topic: TopicInfo) -> Sequence[str]:
    """A row of a table with TOPIC_COLUMNS."""
    ages = (UNKNOWN if age is None else f"{age:.3g} s" for age in (topic.age_median_s, topic.age_max_s))
    return (topic.name, topic.kind, f"{topic.share:.1%}", *ages)


def length(seconds: float | None) -> str:
    """Of time: 48.2 s, 12.5 min, 31.0 h."""
    if seconds is None:
        return UNKNOWN
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def size(count_of_bytes: float | None) -> str:
    """Of files, decimal: 1.1 MB, 12.0 GB."""
    if count_of_bytes is None:
        return UNKNOWN
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count_of_bytes >= factor:
            return f"{count_of_bytes / factor:.1f} {unit}"
    return f"{count_of_bytes / 1e3:.1f} kB"


def count(number: int, noun: str) -> str:
    """1 frame, 2 frames."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _output(output: StoredOutput, description: Description) -> str:
    parts = " + ".join(f"{name} {width}" for name, width in output.segments)
    pooling = "" if output.pooling == "none" else f", pooling {output.pooling}"
    bits = "" if description.dtype == "float16" else " (its bits, as uint16)"
    return (
        f"[{output.tokens}, {output.width}] {description.dtype}{bits}, {description.space}, grid {output.grid}, "
        f"{parts}{pooling}"
    )
