"""What the tokens of an episode look like: a few frames as pictures, and how alike each is to the last one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.dataset.columns import IMAGE
from omnivla_vision.dataset.description import Description, StoredOutput
from omnivla_vision.dataset.report.scan import CameraRows
from omnivla_vision.images.compressed import CompressedImage
from omnivla_vision.images.raw import ImageError
from omnivla_vision.replay.measure import Segment, segments
from omnivla_vision.replay.report.pictures import components, jpeg
from omnivla_vision.tokens.channels import Channels
from omnivla_vision.tokens.difference import cosine
from omnivla_vision.tokens.pictures import PcaBasis

# Frames of a strip.
PICTURES = 8
# Numbers that are read at once, 16 MB as float32: a few frames of the largest presets.
READ_AT_ONCE = 4_000_000
# Tokens that the principal components are found of; more cost time, and change no colour that one can see.
BASIS_TOKENS = 512


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A frame of a strip.

    Attributes:
        frame: its number.
        picture, components: data URLs; empty where there is none.
        problem: why there is no picture though pictures are kept.
    """

    frame: int
    picture: str
    components: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class CameraView:
    """Of one camera of an episode.

    Attributes:
        shots: evenly spaced frames, the last one among them.
        sampled: int64 [samples], numbers of the frames that `similarity` is of, evenly spaced.
        similarity: float64 [samples] by encoder: mean cosine between each token and the last frame's at the same place,
            in channels standardized over the shots; 1 for the last frame itself.
    """

    shots: tuple[Shot, ...]
    sampled: NDArray[np.int64]
    similarity: Mapping[str, NDArray[np.float64]]


def camera_view(dataset: Any, description: Description, rows: CameraRows, samples: int) -> CameraView:
    """Look at the first output of a camera's frames.

    Args:
        dataset: Lance's.
        description: the dataset's.
        rows: of the camera.
        samples: no more tokens than of so many frames are read, and of the strip's.
    """
    output = description.outputs[0]
    reader = _Reader(dataset, output, description.dtype)
    sampled = evenly(len(rows.places), samples)
    shown = sampled[evenly(len(sampled), PICTURES)]
    tokens = reader.read(rows.places[shown])
    parts = segments(*zip(*output.segments, strict=True))
    return CameraView(
        shots=_shots(shown, tokens, output, parts[0], _pictures(dataset, description, rows.places[shown])),
        sampled=sampled,
        similarity=_similarity(reader, rows.places[sampled], parts, tokens),
    )


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the numbers below `count`, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


class _Reader:
    """Reads one output's tokens."""

    def __init__(self, dataset: Any, output: StoredOutput, dtype: str) -> None:
        self._dataset = dataset
        self._output = output
        self._bfloat16 = dtype == "bfloat16"
        self.at_once = max(1, READ_AT_ONCE // output.elements)

    def read(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [places, tokens, width]."""
        column = self._dataset.take(places.tolist(), columns=[self._output.column])[self._output.column]
        words = column.combine_chunks().flatten().to_numpy()
        wide = (words.astype(np.uint32) << 16).view(np.float32) if self._bfloat16 else words.astype(np.float32)
        shaped: NDArray[np.float32] = wide.reshape(-1, self._output.tokens, self._output.width)
        return shaped


def _similarity(
    reader: _Reader, places: NDArray[np.int64], parts: tuple[Segment, ...], shots: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    channels = {part.name: Channels.of(shots[..., part.columns]) for part in parts}
    last = {part.name: channels[part.name].standardize(shots[-1][:, part.columns]) for part in parts}
    found: dict[str, list[float]] = {part.name: [] for part in parts}
    for start in range(0, len(places), reader.at_once):
        for frame in reader.read(places[start : start + reader.at_once]):
            for part in parts:
                standardized = channels[part.name].standardize(frame[:, part.columns])
                found[part.name].append(float(cosine(standardized, last[part.name]).mean()))
    return {name: np.array(values) for name, values in found.items()}


def _shots(
    shown: NDArray[np.int64],
    tokens: NDArray[np.float32],
    output: StoredOutput,
    part: Segment,
    pictures: list[tuple[str, str]],
) -> tuple[Shot, ...]:
    drawn = [""] * len(shown)
    if output.tokens > 1:
        features = tokens[..., part.columns]
        every = features.reshape(-1, features.shape[-1])
        basis = PcaBasis.fit(every[evenly(len(every), BASIS_TOKENS)])
        drawn = [components(basis, frame, output.grid) for frame in features]
    return tuple(
        Shot(frame=frame, picture=picture, components=colours, problem=problem)
        for frame, colours, (picture, problem) in zip(shown.tolist(), drawn, pictures, strict=True)
    )


def _pictures(dataset: Any, description: Description, places: NDArray[np.int64]) -> list[tuple[str, str]]:
    """A data URL and nothing, or nothing and the reason, for each."""
    if not description.images:
        return [("", "")] * len(places)
    files = dataset.take(places.tolist(), columns=[IMAGE])[IMAGE].to_pylist()
    return [_picture(file) for file in files]


def _picture(file: bytes) -> tuple[str, str]:
    try:
        return jpeg(CompressedImage(data=file).rgb()), ""
    except ImageError as error:
        return "", str(error)
