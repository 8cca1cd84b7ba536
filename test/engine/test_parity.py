"""The gate lets the network through, and nothing that computes something else."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from omnivla_vision.engine import parity
from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.eager import EagerEngine
from omnivla_vision.engine.parity import LIMITS, ParityError
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset


def engine_of(backbone: Backbone, precision: str) -> tuple[EagerEngine, EngineSpec]:
    spec = EngineSpec(preset=backbone.preset, precision=precision)
    engine = EagerEngine(backbone, spec)
    engine.precision = precision
    return engine, spec


def swap_channels(backbone: Backbone) -> None:
    """RGB read as BGR."""
    for encoder in backbone.encoders.values():
        encoder.patch_embed.proj.weight.data = encoder.patch_embed.proj.weight.data.flip(1)


def drop_bias(backbone: Backbone) -> None:
    """Of the second encoder's output projections: a fused kernel that forgets its bias does so in every block."""
    for block in backbone.encoders["siglip"].blocks:
        block.attn.proj.bias.data.zero_()
        block.mlp.fc2.bias.data.zero_()


def overflow(backbone: Backbone) -> None:
    """The numbers of a float16 engine whose MLP passes 65504: infinities become NaN in the next normalization."""

    class Float16(nn.Module):
        def __init__(self, mlp: nn.Module) -> None:
            super().__init__()
            self.mlp = mlp

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.mlp(x) * 1e6).half().float() / 1e6

    block = backbone.encoders["dinov2"].blocks[0]
    block.mlp = Float16(block.mlp)


def run_the_last_block(backbone: Backbone) -> None:
    """The last block of the architecture too, as `forward_features` would."""
    for encoder in backbone.encoders.values():
        encoder.blocks.append(copy.deepcopy(encoder.blocks[-1]))


def skip_a_block(backbone: Backbone) -> None:
    encoder = backbone.encoders["dinov2"]
    encoder.blocks = encoder.blocks[:-1]


@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize("damage", [swap_channels, drop_bias, overflow, run_the_last_block, skip_a_block])
def test_a_broken_engine_is_refused_in_every_precision(
    damage: Callable[[Backbone], None], precision: str, backbone: Backbone, reference: torch.Tensor
) -> None:
    broken = copy.deepcopy(backbone)
    damage(broken)
    with pytest.raises(ParityError, match=r"expected cosine min"):
        parity.check(*engine_of(broken, precision), reference, parity.START_IMAGES)


def test_swapped_normalizations_are_refused(backbone: Backbone, reference: torch.Tensor) -> None:
    """Each encoder with the other's mean and standard deviation."""
    engine, spec = engine_of(backbone, "int8")
    first, second = engine._graph.entry
    first.mean, second.mean, first.std, second.std = second.mean, first.mean, second.std, first.std
    with pytest.raises(ParityError):
        parity.check(engine, spec, reference, parity.START_IMAGES)


def test_the_message_holds_numbers_and_limits(backbone: Backbone, reference: torch.Tensor) -> None:
    broken = copy.deepcopy(backbone)
    drop_bias(broken)
    with pytest.raises(ParityError) as caught:
        parity.check(*engine_of(broken, "float32"), reference, parity.START_IMAGES)
    message = str(caught.value)
    # The broken encoder's distance, the whole one's, and the limit.
    assert "siglip: token cosine min 0." in message
    assert "dinov2: token cosine min 1.0000000" in message
    assert "relative L2 <= 1e-05" in message


def test_the_network_passes_in_its_own_precision_only(backbone: Backbone, reference: torch.Tensor) -> None:
    results = parity.check(*engine_of(copy.deepcopy(backbone), "float32"), reference)
    assert all(result.relative_l2 == 0 for result in results)
    half = copy.deepcopy(backbone).to(torch.bfloat16)
    parity.check(*engine_of(half, "bfloat16"), reference)
    with pytest.raises(ParityError):
        parity.check(*engine_of(half, "float32"), reference)


def test_batches_larger_than_the_set_are_filled_up(backbone: Backbone, preset: Preset, reference: torch.Tensor) -> None:
    spec = EngineSpec(preset=preset, precision="float32", images=2)
    shapes: list[int] = []

    class Counting(EagerEngine):
        def __call__(self, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
            shapes.append(len(inputs[0]))
            return super().__call__(inputs)

    parity.check(Counting(backbone, spec), spec, reference)
    assert shapes == [2, 2, 2]  # five images


@pytest.mark.parametrize("worse", [
    {"finite": False}, {"cosine_min": 0.99}, {"cosine_mean": 0.99}, {"relative_l2": 0.1}, {"relative_l2": float("nan")},
    {"cosine_min": float("nan")},
])  # fmt: skip
def test_each_number_alone_is_enough_to_refuse(worse: dict[str, float]) -> None:
    good = parity.EncoderParity(encoder="a", finite=True, cosine_min=1.0, cosine_mean=1.0, relative_l2=0.0)
    for limits in LIMITS.values():
        assert good.within(limits)
        assert not dataclasses.replace(good, **worse).within(limits)


def test_scaled_tokens_are_refused_although_their_directions_are_right(preset: Preset, reference: torch.Tensor) -> None:
    results = parity.compare(reference * 1.1, reference, preset)
    assert all(result.cosine_min > 0.999999 for result in results)
    assert not any(result.within(limits) for result in results for limits in LIMITS.values())


def test_encoders_are_judged_apart(preset: Preset, reference: torch.Tensor) -> None:
    """A small encoder that is wrong must not hide behind a large one that is right."""
    tokens = reference.clone()
    tokens[..., : preset.encoders[0].width] += 1.0
    first, second = parity.compare(tokens, reference, preset)
    assert first.relative_l2 > 0.1
    assert second.relative_l2 == 0
