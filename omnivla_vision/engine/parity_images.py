"""The fixed images on which an engine is held against the reference."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.images.files import read_rgb
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.resources import resource_path

Image = NDArray[np.uint8]

PHOTOGRAPHS = ("gravel", "room", "stream", "sunset")
NOISE_SEED = 0
NOISE_SIZE = (480, 640)
ALL_IMAGES = tuple(range(len(PHOTOGRAPHS) + 1))
# At every start: the first photograph and the noise. All of them when a bundle is built or verified.
START_IMAGES = (0, len(PHOTOGRAPHS))


@lru_cache(maxsize=1)
def parity_images() -> tuple[Image, ...]:
    """The fixed images, uint8 [H, W, 3]: photographs that ship with the package, then seeded noise."""
    photographs = [read_rgb(resource_path(f"resource/parity/{name}.png")) for name in PHOTOGRAPHS]
    noise = np.random.default_rng(NOISE_SEED).integers(0, 256, (*NOISE_SIZE, 3), dtype=np.uint8)
    return (*photographs, noise)


def parity_images_id() -> str:
    """SHA-256 over the fixed images, so that a bundle's reference tokens are never compared with other images'."""
    digest = hashlib.sha256()
    for image in parity_images():
        digest.update(f"{image.shape}".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()


def batches(spec: EngineSpec, chosen: tuple[int, ...]) -> list[tuple[Tensor, ...]]:
    """The chosen images as inputs of an engine, in batches of `spec.images`; the last is filled up from the front."""
    preprocess = Preprocessor(spec.preset.network)
    pictures = [parity_images()[index] for index in chosen]
    batches = []
    for start in range(0, len(pictures), spec.images):
        batch = [pictures[index % len(pictures)] for index in range(start, start + spec.images)]
        batches.append(preprocess.pixels(batch) if spec.entry == "uint8" else preprocess(batch))
    return batches
