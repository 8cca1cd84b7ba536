"""A real encoder that is small enough to encode a hundred frames in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from omnivla_vision.network.encoders import HALF, IMAGENET_MEAN, IMAGENET_STD
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.spec import EncoderSpec, Preset
from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.selection import select

if TYPE_CHECKING:  # some tests need no torch
    from omnivla_vision.encoder import VisionEncoder
    from omnivla_vision.replay.result import Replay

TINY = Preset(
    name="tiny",
    encoders=(
        EncoderSpec(
            name="dinov2",
            timm_id="",
            image_size=ImageSize.square(56),
            patch_size=14,
            width=32,
            depth=3,
            heads=2,
            mlp_width=64,
            register_tokens=4,
            class_token=True,
            layer_scale=True,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        ),
        EncoderSpec(
            name="siglip",
            timm_id="",
            image_size=ImageSize.square(64),
            patch_size=16,
            width=48,
            depth=3,
            heads=2,
            mlp_width=96,
            mean=HALF,
            std=HALF,
        ),
    ),
)


@pytest.fixture
def encoder() -> VisionEncoder:
    """The real network with few and narrow blocks."""
    from test.encoders import random_encoder

    return random_encoder(TINY, seed=1)


@pytest.fixture
def replay(encoder: VisionEncoder) -> Callable[..., Replay]:
    """Plays a bag with the tiny encoder; options as for `select`."""
    from omnivla_vision.replay.exact import ExactReplay

    def play(path: Path, **options: object) -> Replay:
        with Bag(path) as bag:
            selection = select(bag, **options)  # type: ignore[arg-type]
        return ExactReplay(path, selection, encoder).run({})

    return play
