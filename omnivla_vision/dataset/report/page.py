"""A dataset as one HTML page, in the look of a replay's report. Every text from a recording is escaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import islice
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.dataset.report.info import CameraInfo, DatasetInfo, EpisodeInfo
from omnivla_vision.dataset.report.info_text import (
    EPISODE_COLUMNS,
    EPISODE_NUMBERS,
    TOPIC_COLUMNS,
    TOPIC_NUMBERS,
    count,
    episode_cells,
    facts,
    headline,
    length,
    size,
    topic_cells,
    warnings,
)
from omnivla_vision.dataset.report.scan import CameraRows, EpisodeRows, episode_rows
from omnivla_vision.dataset.report.views import PICTURES, CameraView, camera_view
from omnivla_vision.replay.report import parts
from omnivla_vision.replay.report.charts import CHART, WIDE_CHART, Series, line_chart

# Episodes that get a strip and charts; a table has the others.
EPISODES = 20
# Frames of an episode whose tokens are read, at most: 1.1 MB each of OmniVLA's pair.
SAMPLES = 120
# Rows of the table of episodes.
LISTED = 2000
# Gaps that are marked in a chart: the longest.
MARKED = 5
COLOURS = 6
READING = (
    "Of each episode: evenly spaced frames, each above the first three principal components of its tokens as red, "
    "green and blue, in colours that stay the same throughout. Below, how alike each frame is to the last one: the "
    "mean cosine between tokens at the same place, in channels standardized over the frames of the strip; 1 is the "
    "last frame itself, 0 has nothing in common with it."
)
NO_PICTURES = "The frames themselves are not in this dataset: make it with --images to see them here."
ONE_TOKEN = "A frame is one token here, of which no picture can be made."


def dataset_page(dataset: Any, info: DatasetInfo, done: Callable[[int, int], None] = lambda _, __: None) -> str:
    """The page.

    Args:
        dataset: Lance's.
        info: of it.
        done: called with the number of episodes that were drawn so far, and with how many there will be.
    """
    shown = min(EPISODES, len(info.episodes))
    strips: list[str] = []
    topics = tuple(info.description.topics)
    for rows, episode in zip(islice(episode_rows(dataset, topics), shown), info.episodes, strict=False):
        done(len(strips), shown)
        strips.append(_episode(dataset, info, rows, episode))
    done(shown, shown)
    name = PurePath(info.uri).name
    subtitle = f"{info.description.preset}, {info.description.space} tokens of {count(len(info.episodes), 'recording')}"
    sections = [
        parts.notice([*warnings(info), *filter(None, [info.description.notice])], random=info.random),
        parts.tiles(headline(info)),
        f'<p class="lead">{READING}</p>' if strips else "",
        *strips,
        _episodes(info, shown),
        _topics(info),
        _broken(info),
        parts.section("What computed this", parts.values(facts(info))),
    ]
    return parts.page(f"Dataset {name}", subtitle, sections)


def _episode(dataset: Any, info: DatasetInfo, rows: EpisodeRows, episode: EpisodeInfo) -> str:
    record = episode.episode
    told = [
        count(episode.rows, "frame"),
        length(episode.duration_s),
        size(episode.bytes),
        count(len(episode.gaps), "gap"),
        *([f"{record.rejected} rejected"] if record.rejected else []),
        record.path,
    ]
    samples = max(PICTURES, SAMPLES // len(rows.cameras))
    cameras = [
        _camera(info, facts_of, camera, camera_view(dataset, info.description, camera, samples))
        for camera, facts_of in zip(rows.cameras, episode.cameras, strict=True)
    ]
    notes = "".join(f"<li>{escape(note)}</li>" for note in (*record.problems, *record.notes))
    content = f"{''.join(cameras)}{f'<ul>{notes}</ul>' if notes else ''}"
    return parts.section(f"Episode {record.index}: {record.id}", content, text=" · ".join(told))


def _camera(info: DatasetInfo, facts_of: CameraInfo, rows: CameraRows, view: CameraView) -> str:
    elapsed, axis = rows.elapsed_s, "seconds into the episode"
    if elapsed is None:
        elapsed, axis = np.arange(len(rows.places), dtype=np.float64), "frame"
    figures = [
        parts.figure(
            f"frame {shot.frame}",
            shot.picture,
            shot.components,
            f"{elapsed[shot.frame]:.1f} s" if facts_of.clock else f"frame {shot.frame}",
        )
        for shot in view.shots
    ]
    missing = [NO_PICTURES] if not info.description.images else []
    missing += [shot.problem for shot in view.shots if shot.problem][:1]
    missing += [ONE_TOKEN] if info.description.outputs[0].tokens == 1 else []
    rate = f", {facts_of.rate_hz:.3g} Hz" if facts_of.rate_hz else ""
    return (
        f"<h3>{escape(facts_of.name)}{rate}</h3>"
        + parts.strip(figures)
        + "".join(f"<p>{escape(sentence)}</p>" for sentence in missing)
        + _charts(rows, view, elapsed, axis, _marks(facts_of))
    )


def _charts(
    rows: CameraRows, view: CameraView, elapsed: NDArray[np.float64], axis: str, marks: Sequence[tuple[float, str]]
) -> str:
    near = [
        Series(name, number % COLOURS, elapsed[view.sampled], values)
        for number, (name, values) in enumerate(view.similarity.items())
    ]
    ages = [
        Series(name, number % COLOURS, elapsed, values.astype(np.float64))
        for number, (name, values) in enumerate(rows.ages_s.items())
    ]
    entries = [("Similarity to the last frame", near)]
    if any(np.isfinite(line.y).any() for line in ages):
        entries.append(("Ages of the topics, in seconds", ages))
    shape = CHART if len(entries) > 1 else WIDE_CHART
    charts = (
        f"<div><h3>{title}</h3>{parts.key([(line.name, line.colour) for line in lines])}"
        f"{line_chart(lines, label=title, x_label=axis, marks=marks, size=shape)}</div>"
        for title, lines in entries
    )
    return f'<div class="pair">{"".join(charts)}</div>'


def _marks(camera: CameraInfo) -> list[tuple[float, str]]:
    longest = sorted(camera.gaps, key=lambda gap: -gap.length_s)[:MARKED]
    return [(gap.at_s, f"gap {gap.length_s:.1f} s") for gap in longest]


def _episodes(info: DatasetInfo, shown: int) -> str:
    total = len(info.episodes)
    text = f"The first {shown} of {total:,} are shown above." if shown < total else ""
    if total > LISTED:
        text += f" This table has the first {LISTED:,}; `omnivla-vision dataset info --json` has all."
    table = parts.table(EPISODE_COLUMNS, map(episode_cells, info.episodes[:LISTED]), numbers=EPISODE_NUMBERS)
    return parts.section("Episodes", table, text=text)


def _topics(info: DatasetInfo) -> str:
    if not info.topics:
        return ""
    table = parts.table(TOPIC_COLUMNS, map(topic_cells, info.topics), numbers=TOPIC_NUMBERS)
    text = (
        "The latest value at each frame's stamp, in how many of the rows there is one, and its age: the frame's stamp "
        "minus the value's."
    )
    return parts.section("Other topics", table, text=text)


def _broken(info: DatasetInfo) -> str:
    if not info.broken:
        return ""
    return parts.section("Recordings that could not be used", parts.table(("recording", "reason"), info.broken.items()))
