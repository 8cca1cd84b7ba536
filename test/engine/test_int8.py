"""int8 on the CPU: what it does to loud tokens and channels, and that it does not change what is computed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional as F

from omnivla_vision.engine import onednn, parity
from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.calibrate import Calibration
from omnivla_vision.engine.fold import fold
from omnivla_vision.engine.packed_int8 import Int8Weights, PackedInt8Linear, quantize_rows
from omnivla_vision.engine.parity_images import START_IMAGES, parity_images
from omnivla_vision.engine.reference import Reference, compute_reference
from omnivla_vision.engine.smoothing import GELU_FLOOR, loud_channels, smooth
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.presets import Preset
from omnivla_vision.network.realistic_weights import REALISTIC, Oddities, fill_realistic
from omnivla_vision.network.vit import ACTIVATIONS, Block

pytestmark = pytest.mark.skipif(bool(onednn.missing("int8")), reason=onednn.missing("int8"))

# Plain weights are those of test_engines.
ODD = {
    "loud norms and hidden units": Oddities(norm_factor=100, hidden_factor=10),
    "massive 3000": Oddities(massive=3000),
    "massive 1000, few tokens": Oddities(massive=1000, massive_tokens="few"),
    "realistic": REALISTIC,
}


def odd_backbone(preset: Preset, oddities: Oddities) -> Backbone:
    backbone = build_backbone(preset)
    fill_realistic(backbone, seed=0, oddities=oddities)
    return backbone


def build(backbone: Backbone, folder: Path) -> tuple[onednn.OneDnnEngine, EngineSpec, dict[str, Any]]:
    spec = EngineSpec(preset=backbone.preset, precision="int8")
    notes = onednn.build(fold(backbone), spec, folder)
    return onednn.load(folder, spec), spec, notes


@pytest.mark.parametrize("name", ODD)
def test_it_passes_the_gate_whatever_is_odd_about_the_weights(preset: Preset, tmp_path: Path, name: str) -> None:
    """Nothing is kept out of int8 for that."""
    backbone = odd_backbone(preset, ODD[name])
    engine, spec, notes = build(backbone, tmp_path)
    parity.check(engine, spec, compute_reference(backbone), START_IMAGES)
    assert notes == {"kept_layers": {}}


@pytest.mark.parametrize("name", ["massive 1000, few tokens"])
def test_smoothing_leaves_the_function_as_it_is(preset: Preset, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With every layer kept, and in float32, only what smoothing changed is left."""
    backbone = fold(odd_backbone(preset, ODD[name]))
    monkeypatch.setattr("omnivla_vision.engine.calibrate.KEEP_ABOVE", -1.0)
    monkeypatch.setattr("omnivla_vision.engine.calibrate.CENTRE_ABOVE", -1.0)
    calibration = Calibration(backbone, torch.float32)
    changed = sum(not torch.equal(t, calibration.tensors[name]) for name, t in backbone.state_dict().items())
    assert changed > 8 * len(preset.encoders)
    smoothed = fold(odd_backbone(preset, Oddities()))
    smoothed.load_state_dict(calibration.tensors)
    stacks = Preprocessor(preset)([parity_images()[0]])
    before, after = (torch.cat(network(*stacks), dim=-1) for network in (backbone, smoothed))
    deviation = (before - before.mean(dim=1)).square().mean(dim=1).sqrt()
    # The rounding of float32 itself, which a massive channel makes larger.
    assert ((after - before) / deviation).square().mean().sqrt() < 1e-3


def test_rows_are_quantized_apart() -> None:
    """One token a thousand times as loud leaves the others what they were, to the last bit."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(size, generator=generator) for size in ((16, 64), (32, 64)))
    layer = PackedInt8Linear(Int8Weights.of(weight, torch.zeros(32)), 16)
    quiet = layer(x.clone())
    x[3] *= 1000
    loud = layer(x.clone())
    others = torch.arange(16) != 3
    assert torch.equal(loud[others], quiet[others])
    assert not torch.equal(loud[3], quiet[3])


@pytest.mark.parametrize("floor", [None, GELU_FLOOR])
@pytest.mark.parametrize("size", [0.0, 1e-36, 1e-20, 1.0, 3.0, 1e6])
def test_no_value_wraps(floor: float | None, size: float) -> None:
    """Each is off by half a step at most, the largest and the smallest too; wrapped ones would be off by the range."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(512, 96, generator=generator) * 2 * size - size
    if floor is not None:
        x.clamp_(min=floor)
    values, scale = quantize_rows(x.clone(), floor)
    assert values.dtype == torch.uint8
    restored = scale.double() * (values.double() - 128) if floor is None else floor + scale.double() * values.double()
    assert ((restored - x).abs() <= 0.5001 * scale + 1e-7 * size).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stays_visible(bad: float) -> None:
    layer = PackedInt8Linear(Int8Weights.of(torch.ones(8, 64), torch.zeros(8)), 2)
    x = torch.ones(2, 64)
    x[1, 5] = bad
    found = layer(x)
    assert found[0].isfinite().all()
    assert not found[1].isfinite().any()


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "quick_gelu"])
def test_the_floor_is_below_the_activation(activation: str) -> None:
    assert ACTIVATIONS[activation](torch.linspace(-6, 0, 100_001)).min() > GELU_FLOOR


@pytest.mark.parametrize("apart", [None, [3, 17]])
@pytest.mark.parametrize("inputs", ["signed", "centred", "floored"])
def test_every_form_of_a_layer_computes_it(apart: list[int] | None, inputs: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(1, 40, 128, generator=generator), torch.randn(64, 128, generator=generator)
    bias, residual = torch.randn(64, generator=generator), torch.randn(1, 40, 64, generator=generator)
    x = F.gelu(x) if inputs == "floored" else x
    x[..., [3, 17]] *= 100 if apart else 1
    weights = Int8Weights.of(
        weight,
        bias,
        apart=None if apart is None else torch.tensor(apart),
        centre=torch.linspace(-1, 1, 128) if inputs == "centred" else None,
        floor=GELU_FLOOR if inputs == "floored" else math.nan,
    )
    layer = PackedInt8Linear(weights, 40)
    expected = F.linear(x, weight, bias)
    limit = 0.02 * 128**0.5
    assert (layer(x.clone()) - expected).square().mean().sqrt() < limit
    assert (layer.gelu(x.clone()) - F.gelu(expected)).square().mean().sqrt() < limit
    assert (layer.add(x.clone(), residual) - expected - residual).square().mean().sqrt() < limit


def test_loud_channels_are_divided_and_loud_tokens_set_channels_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(500, 64, generator=generator), torch.randn(32, 64, generator=generator)
    x[:, 5] *= 50  # in every token
    weight[:, 5] /= 50
    x[:, 7] += 300  # always the same
    x[::100, 9] += 300  # in some tokens
    smoothing = smooth(x, weight)
    assert smoothing.apart.tolist() == [9]
    assert smoothing.centre[7] == pytest.approx(300, abs=0.2)
    assert smoothing.factor[5] / smoothing.factor[6] == pytest.approx(50, rel=0.3)
    changed = smoothing.inputs(x)
    assert torch.allclose(
        F.linear(changed, weight * smoothing.factor, weight @ smoothing.centre), F.linear(x, weight), atol=1e-2
    )
    assert len(loud_channels(torch.randn(500, 64, generator=generator))) == 0


def test_a_layer_that_eight_bits_break_is_kept_and_named(preset: Preset, reference: Reference, tmp_path: Path) -> None:
    """A fifth of the weights a thousand times the others, with values as much smaller: the others round to nothing."""
    backbone = odd_backbone(preset, Oddities())
    attention = cast(Block, backbone.encoders["siglip"].blocks[1]).attn
    width = attention.proj.in_features
    attention.proj.weight[:, ::5] *= 1000
    attention.qkv.weight[2 * width :: 5] /= 1000
    attention.qkv.bias[2 * width :: 5] /= 1000
    engine, spec, notes = build(backbone, tmp_path)
    parity.check(engine, spec, reference, START_IMAGES)  # of the plain weights: the function is the same
    assert list(notes["kept_layers"]) == ["encoders.siglip.blocks.1.attn.proj"]
    assert notes["kept_layers"]["encoders.siglip.blocks.1.attn.proj"] > 0.5
