"""The pictures of a report: sampled frames, and what their tokens tell apart, as data URLs."""

from __future__ import annotations

from dataclasses import dataclass

from omnivla_vision.replay.report.pictures import components, jpeg
from omnivla_vision.replay.result import Replay
from omnivla_vision.replay.steps import pictures_at
from omnivla_vision.tokens.pictures import PcaBasis


@dataclass(frozen=True)
class View:
    """A frame beside the principal components of its tokens; both pictures are data URLs."""

    index: int
    seconds: float
    cosine: float | None
    picture: str
    components: str
    is_goal: bool = False


def views(replay: Replay) -> list[View]:
    """The sampled frames, and the goal last. All share one basis of components: the goal's, or the first frame's."""
    samples = replay.measurements.pictures.kept
    if not samples:
        return []
    first, last = next(iter(samples.values())), list(samples.values())[-1]
    basis = PcaBasis.fit(first.current if last.goal is None else last.goal)
    cosines = {row.index: row.goal_cosines for row in replay.rows}
    result = []
    times = [sample.time_ns for sample in samples.values()]
    pictures = pictures_at(replay.bag, replay.selection.camera, times, max_pixels=replay.selection.max_pixels)
    for (index, sample), picture in zip(samples.items(), pictures, strict=True):
        result.append(
            View(
                index=index,
                seconds=(sample.time_ns - replay.selection.bag_start_ns) / 1e9,
                cosine=next(iter(cosines[index].values()), None),
                picture=jpeg(picture),
                components=components(basis, sample.current, sample.grid),
            )
        )
    if last.goal is not None and replay.goal_picture is not None:
        shown = components(basis, last.goal, last.grid)
        result.append(View(-1, 0.0, None, jpeg(replay.goal_picture), shown, is_goal=True))
    return result
