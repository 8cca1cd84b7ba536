"""The arguments that name a network's weights, the same in every command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omnivla_vision.errors import VisionError
from omnivla_vision.presets import DEFAULT_PRESET, PRESETS, Preset, get_preset

if TYPE_CHECKING:
    from omnivla_vision.backbone import Backbone

RANDOM = "random"


class UnknownWeightsError(VisionError):
    """What was named is not a set of weights."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A network's weights. `load` reads them into a float32 backbone; `kind` is "random" or "checkpoint"."""

    kind: str
    preset: Preset
    fingerprint: str
    load: Callable[[], Backbone]


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Declare CHECKPOINT, --preset and --seed."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=f"the weights; {RANDOM!r}: seeded random ones")
    parser.add_argument("--preset", choices=PRESETS, default=DEFAULT_PRESET, help="which encoders (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of random weights (%(default)s)")


def open_weights(arguments: argparse.Namespace) -> Weights:
    """What the arguments name.

    Raises:
        UnknownWeightsError: it is not "random".
    """
    if arguments.checkpoint != RANDOM:
        raise UnknownWeightsError(f"found {arguments.checkpoint!r}; expected {RANDOM!r}")
    return random_weights(get_preset(arguments.preset), arguments.seed)


def random_weights(preset: Preset, seed: int) -> Weights:
    """Seeded random weights, whose tokens mean nothing."""

    def load() -> Backbone:
        from omnivla_vision.backbone import build_backbone
        from omnivla_vision.random_weights import fill_random

        backbone = build_backbone(preset)
        fill_random(backbone, seed=seed)
        return backbone

    return Weights(kind=RANDOM, preset=preset, fingerprint=f"weights: random, seed {seed}, {preset.name}", load=load)
