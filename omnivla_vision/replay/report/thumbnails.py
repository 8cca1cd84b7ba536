"""The pictures of a report: sampled frames, and what their tokens tell apart, as data URLs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.opencv import swap_red_and_blue, thumbnail
from omnivla_vision.network.grid import Grid
from omnivla_vision.replay.result import Replay
from omnivla_vision.replay.steps import pictures_at
from omnivla_vision.tokens.pictures import PcaBasis

Image = NDArray[np.uint8]
WIDTH = 240


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
                components=_components(basis, sample.current, sample.grid),
            )
        )
    if last.goal is not None and replay.goal_picture is not None:
        components = _components(basis, last.goal, last.grid)
        result.append(View(-1, 0.0, None, jpeg(replay.goal_picture), components, is_goal=True))
    return result


def jpeg(rgb: Image) -> str:
    """A thumbnail of an RGB picture."""
    height = max(1, round(rgb.shape[0] * WIDTH / rgb.shape[1]))
    return _data_url("jpeg", thumbnail(rgb, width=WIDTH, height=height), [cv2.IMWRITE_JPEG_QUALITY, 82])


def _components(basis: PcaBasis, features: NDArray[np.floating], grid: Grid) -> str:
    """One pixel per patch: the page enlarges it."""
    return _data_url("png", basis.picture(features, grid=grid, height=grid.height), [])


def _data_url(kind: str, rgb: Image, options: Sequence[int]) -> str:
    _, data = cv2.imencode(f".{kind}", swap_red_and_blue(rgb), options)
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
