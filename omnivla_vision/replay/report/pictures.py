"""Pictures inside a page, as data URLs."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.opencv import swap_red_and_blue, thumbnail
from omnivla_vision.network.grid import Grid
from omnivla_vision.tokens.pictures import PcaBasis

Image = NDArray[np.uint8]
WIDTH = 240


def jpeg(rgb: Image) -> str:
    """A thumbnail of an RGB picture."""
    height = max(1, round(rgb.shape[0] * WIDTH / rgb.shape[1]))
    return _data_url("jpeg", thumbnail(rgb, width=WIDTH, height=height), [cv2.IMWRITE_JPEG_QUALITY, 82])


def components(basis: PcaBasis, features: NDArray[np.floating], grid: Grid) -> str:
    """[grid.tokens, width] features in the colours of `basis`, one pixel per token: the page enlarges it."""
    return _data_url("png", basis.picture(features, grid=grid, height=grid.height), [])


def _data_url(kind: str, rgb: Image, options: Sequence[int]) -> str:
    _, data = cv2.imencode(f".{kind}", swap_red_and_blue(rgb), options)
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
