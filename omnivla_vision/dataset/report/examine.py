"""A dataset is examined: its narrow columns and its metadata are read, and no tokens."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.dataset.description import Description
from omnivla_vision.dataset.errors import NotATokenDatasetError
from omnivla_vision.dataset.report.info import CameraInfo, DatasetInfo, EpisodeInfo, Gap, TopicInfo
from omnivla_vision.dataset.report.scan import CameraRows, episode_rows
from omnivla_vision.dataset.report.sizes import FragmentSizes
from omnivla_vision.dataset.store import broken_of, episodes_of

# Frames further apart than so many times the episode's median have something missing between them.
GAP = 2.5


def info_of(dataset: Any) -> DatasetInfo:
    """Examine a dataset.

    Args:
        dataset: Lance's, see `open_dataset`.

    Raises:
        NotATokenDatasetError, DatasetFormatError: see `Description.of`; or an episode's record was deleted.
    """
    description = Description.of(dataset.schema.metadata)
    records = {episode.index: episode for episode in episodes_of(dataset)}
    sizes = FragmentSizes(dataset)
    presence: Counter[str] = Counter()
    ages: dict[str, list[NDArray[np.float32]]] = {name: [] for name in description.topics}
    episodes = []
    for rows in episode_rows(dataset, tuple(description.topics)):
        if rows.index not in records:
            raise NotATokenDatasetError(
                f"found rows of episode {rows.index} in {dataset.uri} without its last one, which has its record; "
                "expected whole episodes; delete its other rows, too (Lance: "
                f'dataset.delete("episode_index = {rows.index}")), and make it again'
            )
        episodes.append(
            EpisodeInfo(
                episode=records[rows.index],
                cameras=tuple(camera_info(camera) for camera in rows.cameras),
                bytes=sizes.share(rows),
            )
        )
        for camera in rows.cameras:
            presence.update({name: int(present.sum()) for name, present in camera.present.items()})
            for name, values in camera.ages_s.items():
                ages[name].append(values[np.isfinite(values)])
    count = sum(episode.rows for episode in episodes)
    return DatasetInfo(
        uri=dataset.uri,
        description=description,
        episodes=tuple(episodes),
        topics=tuple(
            TopicInfo(
                name=name,
                kind=kind,
                share=presence[name] / count if count else 0.0,
                **_ages(np.concatenate([*ages[name], np.empty(0, np.float32)])),
            )
            for name, kind in description.topics.items()
        ),
        broken=broken_of(dataset),
        bytes=sizes.total,
    )


def camera_info(camera: CameraRows) -> CameraInfo:
    """Look at the times of a camera's frames."""
    elapsed = camera.elapsed_s
    steps = np.empty(0) if elapsed is None else np.diff(elapsed)
    forward = steps[steps > 0]
    median = float(np.median(forward)) if len(forward) else None
    backwards = 0 if camera.times_ns is None else int((np.diff(camera.times_ns) < 0).sum())
    return CameraInfo(
        name=camera.camera,
        rows=len(camera.places),
        clock=camera.clock,
        duration_s=None if elapsed is None else float(elapsed[-1]),
        rate_hz=None if median is None else float(1 / forward[forward <= GAP * median].mean()),
        gaps=()
        if elapsed is None or median is None
        else tuple(Gap(float(elapsed[at]), float(steps[at])) for at in np.flatnonzero(steps > GAP * median)),
        jumps_back=backwards,
    )


def _ages(values: NDArray[np.float32]) -> dict[str, float | None]:
    if not len(values):
        return {"age_median_s": None, "age_max_s": None}
    return {"age_median_s": float(np.median(values)), "age_max_s": float(values.max())}
