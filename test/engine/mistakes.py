"""Wrong computations that engines, exporters and preprocessing are known to make, and weights to try them on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from omnivla_vision.engine.reference import Array
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.realistic_weights import NO_ODDITIES, REALISTIC, Oddities
from omnivla_vision.network.spec import EncoderSpec, Preset, Resize
from omnivla_vision.network.vit import VisionTransformer

WEIGHTS = {
    "plain": NO_ODDITIES,
    "norm channels x20": Oddities(norm_factor=20.0),
    "norm channels x100": Oddities(norm_factor=100.0),
    "massive 300": Oddities(massive=300.0),
    "massive 1000": Oddities(massive=1000.0),
    "massive 3000": Oddities(massive=3000.0),
    "massive 1000, few tokens": Oddities(massive=1000.0, massive_tokens="few"),
    "realistic": REALISTIC,
}
# Of each encoder, from its first channel on.
SCALED_CHANNELS = 32


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One wrong computation: in the network or what it is fed, or in what is made of its output.

    Attributes:
        name: in words.
        network: makes the wrong network of a copy of the right one; its preset says what it is fed.
        tokens: makes wrong tokens of the network's, [images, rows, width] of each encoder.
        encoders: which encoders it concerns.
    """

    name: str
    network: Callable[[Backbone], Backbone] = lambda backbone: backbone
    tokens: Callable[[list[Array], Preset], list[Array]] = lambda tokens, preset: tokens
    encoders: tuple[str, ...] = ("dinov2", "siglip")


def _fed(change: Callable[[tuple[EncoderSpec, ...]], tuple[EncoderSpec, ...]]) -> Callable[[Backbone], Backbone]:
    """The right network behind another preprocessing."""

    def network(backbone: Backbone) -> Backbone:
        backbone.preset = replace(backbone.preset, encoders=change(backbone.preset.encoders))
        return backbone

    return network


def _bilinear(specs: tuple[EncoderSpec, ...]) -> tuple[EncoderSpec, ...]:
    return tuple(replace(spec, resize=Resize(interpolation="bilinear")) for spec in specs)


def _swapped(specs: tuple[EncoderSpec, ...]) -> tuple[EncoderSpec, ...]:
    first, second = specs
    return replace(first, mean=second.mean, std=second.std), replace(second, mean=first.mean, std=first.std)


def _each(change: Callable[[VisionTransformer], None]) -> Callable[[Backbone], Backbone]:
    def network(backbone: Backbone) -> Backbone:
        for encoder in backbone.encoders.values():
            change(cast(VisionTransformer, encoder))
        return backbone

    return network


def _bgr(encoder: VisionTransformer) -> None:
    encoder.patch_embed.proj.weight.data = encoder.patch_embed.proj.weight.data.flip(1)


def _another_blocks_weights(encoder: VisionTransformer) -> None:
    middle = len(encoder.blocks) // 2
    encoder.blocks[middle] = copy.deepcopy(encoder.blocks[middle - 1])


def _skip_a_block(encoder: VisionTransformer) -> None:
    del encoder.blocks[len(encoder.blocks) // 2]


def _run_the_last_block(encoder: VisionTransformer) -> None:
    """One block more than is wanted, as `forward_features` would."""
    encoder.blocks.append(copy.deepcopy(encoder.blocks[-1]))


def _forget_biases(encoder: VisionTransformer) -> None:
    """A fused kernel that forgets its bias does so in every block."""
    for block in encoder.blocks:
        block.attn.proj.bias.data.zero_()
        block.mlp.fc2.bias.data.zero_()


def drop_registers(count: int) -> Callable[[Backbone], Backbone]:
    """The last registers are not in the sequence."""

    def change(encoder: VisionTransformer) -> None:
        if encoder.reg_token is not None:
            kept = encoder.spec.register_tokens - count
            encoder.reg_token.data = encoder.reg_token.data[:, :kept]
            encoder.spec = replace(encoder.spec, register_tokens=kept)

    return _each(change)


def _column_order(tokens: list[Array], preset: Preset) -> list[Array]:
    shapes = [(len(part), *preset.grid, part.shape[-1]) for part in tokens]
    return [part.reshape(shape).swapaxes(1, 2).reshape(part.shape) for part, shape in zip(tokens, shapes, strict=True)]


def scale_channels(factor: float) -> Callable[[list[Array], Preset], list[Array]]:
    """One group of each encoder's channels."""

    def change(tokens: list[Array], _: Preset) -> list[Array]:
        factors = [np.ones(part.shape[-1], np.float32) for part in tokens]
        for each in factors:
            each[:SCALED_CHANNELS] = factor
        return [part * each for part, each in zip(tokens, factors, strict=True)]

    return change


MISTAKES = (
    Mistake(name="bilinear resize", network=_fed(_bilinear)),
    Mistake(name="normalizations swapped", network=_fed(_swapped)),
    Mistake(name="BGR", network=_each(_bgr)),
    Mistake(name="another image's tokens", tokens=lambda tokens, _: [np.roll(part, 1, 0) for part in tokens]),
    Mistake(name="patches in column order", tokens=_column_order),
    Mistake(name="a block with another's weights", network=_each(_another_blocks_weights)),
    Mistake(name="a block left out", network=_each(_skip_a_block)),
    Mistake(name="a block too many", network=_each(_run_the_last_block)),
    Mistake(name="output biases forgotten", network=_each(_forget_biases)),
    Mistake(name="a register dropped", network=drop_registers(1), encoders=("dinov2",)),
)
SCALES = {"float32": 1.02, "float16": 1.02, "mixed": 1.02, "bfloat16": 1.15, "int8": 1.15}


def mistakes(precision: str) -> tuple[Mistake, ...]:
    """All of them, with a channel group scaled by as much as the precision must show."""
    factor = SCALES[precision]
    return (*MISTAKES, Mistake(name=f"{SCALED_CHANNELS} channels x{factor}", tokens=scale_channels(factor)))


def wrong_network(mistake: Mistake, backbone: Backbone) -> Backbone:
    """A copy with the mistake in it, whose preset describes it."""
    wrong = mistake.network(copy.deepcopy(backbone))
    encoders = []
    for spec in wrong.preset.encoders:
        encoder = cast(VisionTransformer, wrong.encoders[spec.name])
        registers = 0 if encoder.reg_token is None else encoder.reg_token.shape[1]
        encoders.append(replace(spec, depth=len(encoder.blocks) + spec.skipped_blocks, register_tokens=registers))
    wrong.preset = replace(wrong.preset, encoders=tuple(encoders))
    return wrong
