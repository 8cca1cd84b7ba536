"""From the node's parameters to an encoder that is ready for its first frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch

from omnivla_vision import loading
from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.loading import EncoderOptions
from omnivla_vision.ros.settings import VisionParameters

LoadEncoder = Callable[[VisionParameters, Any], VisionEncoder]


def load_encoder(settings: VisionParameters, logger: Any) -> VisionEncoder:
    """Load the weights, start the engine and warm it up; every warning goes to the log.

    Args:
        settings: the node's parameters.
        logger: the node's.

    Raises:
        VisionError: the parameters name something that cannot be had; the message says what.
    """
    started = time.perf_counter()
    loaded = loading.load_encoder(encoder_options(settings))
    for warning in loaded.warnings:
        logger.warning(warning)
    encoder = loaded.encoder
    encoder.warm_up()
    made_by = encoder.provenance
    logger.info(
        f"{made_by.preset} ready in {time.perf_counter() - started:.1f} s: engine {made_by.engine}, "
        f"{made_by.precision}, {torch.get_num_threads()} threads"
    )
    return encoder


def encoder_options(settings: VisionParameters) -> EncoderOptions:
    """The parameters that the encoder depends on; they have its options' names."""
    return EncoderOptions(**{item.name: getattr(settings, item.name) for item in fields(EncoderOptions)})
