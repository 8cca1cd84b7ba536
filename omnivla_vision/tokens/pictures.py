"""Pictures of tokens, for people: what the features tell apart in an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.opencv import swap_red_and_blue, thumbnail
from omnivla_vision.network.grid import Grid
from omnivla_vision.output_files import write
from omnivla_vision.tokens.channels import Channels

Image = NDArray[np.uint8]
Features = NDArray[np.floating]

# What share of a component's values saturates the colour scale at either end.
CLIPPED_PERCENT = 1.0

# The node's topics of these pictures, below its own name.
DEBUG_TOPICS = PCA_TOPIC, SIMILARITY_TOPIC = "debug/pca", "debug/goal_similarity"


@dataclass(frozen=True)
class PcaBasis:
    """Three principal directions of patch features, and the range of values along each.

    Fit it once and keep it: with a basis per frame the colours flicker.
    """

    mean: Features
    directions: Features
    low: Features
    high: Features

    @classmethod
    def fit(cls, features: Features) -> PcaBasis:
        """Find the basis of [tokens, width] patch features, for example one image's DINOv2 segment."""
        normalized = _layer_norm(features)
        mean = normalized.mean(axis=0)
        _, _, rows = np.linalg.svd(normalized - mean, full_matrices=False)
        directions = np.zeros((features.shape[1], 3))  # of fewer than three tokens there are fewer directions
        directions[:, : len(rows[:3])] = rows[:3].T
        # A direction's sign is arbitrary; fixing it gives the same colours on every machine.
        directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), range(3)])
        values = (normalized - mean) @ directions
        low, high = np.percentile(values, [CLIPPED_PERCENT, 100 - CLIPPED_PERCENT], axis=0)
        return cls(mean, directions, low, high)

    def picture(self, features: Features, *, grid: Grid, height: int) -> Image:
        """Colour [grid.tokens, width] patch features; uint8 [height, W, 3], in the grid's proportions."""
        values = (_layer_norm(features) - self.mean) @ self.directions
        unit = (values - self.low) / np.maximum(self.high - self.low, 1e-12)
        return _enlarge((unit.clip(0, 1) * 255).round().astype(np.uint8).reshape(*grid, 3), height)


def goal_similarity(current: Features, goal: Features) -> NDArray[np.float32]:
    """How well each current patch is matched somewhere in the goal.

    In channels standardized over the goal's patches: with a massive channel, raw patches are all alike.

    Args:
        current: [tokens, width] patch features.
        goal: [tokens, width] patch features of the goal.

    Returns:
        float32 [tokens]: the cosine of each current patch to its best goal patch, -1 to 1.
    """
    channels = Channels.of(goal)
    cosines = _unit(channels.standardize(current)) @ _unit(channels.standardize(goal)).T
    return np.asarray(cosines.max(axis=1), dtype=np.float32)


def heat_map(values: NDArray[np.floating], *, grid: Grid, height: int) -> Image:
    """Colour [grid.tokens] values of -1 to 1, blue to red; uint8 [height, W, 3], in the grid's proportions."""
    levels = ((values.reshape(grid) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    bgr = np.asarray(cv2.applyColorMap(_enlarge(levels, height), cv2.COLORMAP_TURBO), dtype=np.uint8)
    return swap_red_and_blue(bgr)


def beside(*pictures: Image, height: int = 336, gap: int = 8) -> Image:
    """Put RGB pictures side by side on white, all at the same height; uint8 [height, W, 3]."""
    columns = []
    for picture in pictures:
        width = round(picture.shape[1] * height / picture.shape[0])
        columns += [_white(height, gap), thumbnail(picture, width=width, height=height)]
    return np.concatenate(columns[1:], axis=1)


def save_png(path: Path, picture: Image) -> None:
    """Write an RGB picture, uint8 [H, W, 3], as PNG, whatever the file's name.

    Raises:
        OutputError: the system refused to write.
    """
    _, encoded = cv2.imencode(".png", swap_red_and_blue(picture))
    write(path, encoded.tobytes())


def _layer_norm(features: Features) -> Features:
    """Without the encoder's own final norm weights, which do not travel with the tokens."""
    wide = features.astype(np.float64)
    return (wide - wide.mean(axis=1, keepdims=True)) / (wide.std(axis=1, keepdims=True) + 1e-6)


def _enlarge(picture: Image, height: int) -> Image:
    """Nearest neighbour shows the patches as they are."""
    width = round(picture.shape[1] * height / picture.shape[0])
    if picture.size == 3:  # one pixel, which OpenCV 4.5 does not take
        return np.full((height, width, 3), picture)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def _unit(features: Features) -> NDArray[np.float32]:
    wide = features.astype(np.float32)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _white(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)
