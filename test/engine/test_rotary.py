"""Engines on DINOv3: rotary positions, a gated MLP, no position embeddings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.engine import onednn, parity
from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.fold import fold, folded_shell
from omnivla_vision.engine.graph import typed_graph
from omnivla_vision.engine.parity_images import START_IMAGES, batches
from omnivla_vision.engine.reference import Reference, compute_reference
from omnivla_vision.engine.start import ENGINES, get_backend
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.presets import Preset
from omnivla_vision.network.random_weights import fill_random
from omnivla_vision.network.realistic_weights import REALISTIC, Oddities, fill_realistic
from omnivla_vision.network.rotary import Rotary, rotary_tables
from omnivla_vision.network.vit import Block, VisionTransformer
from test.presets import shallow

CASES = [
    pytest.param(name, precision, id=f"{name}-{precision}", marks=[pytest.mark.slow] if name == "inductor" else [])
    for name in ENGINES
    for precision in get_backend(name).PRECISIONS
]


@pytest.fixture(scope="module", params=["dinov3-s-224", "dinov3-splus-224"])
def preset(request: pytest.FixtureRequest) -> Preset:
    return shallow(request.param)


@pytest.fixture(scope="module")
def backbone(preset: Preset) -> Backbone:
    backbone = build_backbone(preset)
    fill_random(backbone, seed=0)
    return backbone


@pytest.fixture(scope="module")
def reference(backbone: Backbone) -> Reference:
    return compute_reference(backbone)


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_an_engine_passes_the_gate(
    name: str, precision: str, preset: Preset, backbone: Backbone, reference: Reference, tmp_path: Path
) -> None:
    backend = get_backend(name)
    if lacking := backend.missing(precision):
        pytest.skip(f"{name} in {precision} needs {lacking}")
    spec = EngineSpec(preset=preset, precision=precision)
    backend.build(fold(backbone), spec, tmp_path)
    parity.check(backend.load(tmp_path, spec), spec, reference, START_IMAGES)


def test_the_order_of_patches_counts(backbone: Backbone) -> None:
    """Without positions, features of shuffled patches are the shuffled features."""
    (encoder,) = backbone.encoders.values()
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features, turned = encoder(image), encoder(image.flip(-1))
    assert (features.mean(dim=1) - turned.mean(dim=1)).abs().max() > 1e-3


@pytest.mark.skipif(bool(onednn.missing("int8")), reason=onednn.missing("int8"))
def test_int8_keeps_the_bias_of_keys_that_are_turned(preset: Preset, tmp_path: Path) -> None:
    """Softmax ignores it only where they are not; what smoothing centres away becomes such a bias, too."""
    backbone = build_backbone(preset)
    fill_realistic(backbone, seed=0, oddities=Oddities(norm_factor=20))
    generator = torch.Generator().manual_seed(1)
    for block in cast(VisionTransformer, backbone.encoders["dinov3"]).blocks:
        _, keys, _ = cast(Block, block).attn.qkv.bias.chunk(3)
        keys.uniform_(-4, 4, generator=generator)
    spec = EngineSpec(preset=preset, precision="int8")
    onednn.build(fold(backbone), spec, tmp_path)
    parity.check(onednn.load(tmp_path, spec), spec, compute_reference(backbone), START_IMAGES)


@pytest.mark.skipif(bool(onednn.missing("int8")), reason=onednn.missing("int8"))
@pytest.mark.parametrize("tokens", ["all", "few"])
def test_int8_passes_on_realistic_weights(preset: Preset, tokens: Literal["all", "few"], tmp_path: Path) -> None:
    backbone = build_backbone(preset)
    fill_realistic(backbone, seed=0, oddities=replace(REALISTIC, massive_tokens=tokens))
    spec = EngineSpec(preset=preset, precision="int8")
    onednn.build(fold(backbone), spec, tmp_path)
    parity.check(onednn.load(tmp_path, spec), spec, compute_reference(backbone), START_IMAGES)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_tables_stay_float32_in_any_network(preset: Preset, dtype: torch.dtype) -> None:
    shell = folded_shell(preset).to(dtype)
    (rotary,) = {module for module in shell.modules() if isinstance(module, Rotary)}
    (spec,) = preset.encoders
    sin, cos = rotary_tables(spec)
    assert torch.equal(rotary.sin, sin)
    assert torch.equal(rotary.cos, cos)
    assert rotary(torch.ones(1, *sin.shape, dtype=dtype)).dtype == dtype
    assert not shell.state_dict().keys() & {"sin", "cos"}


@pytest.mark.parametrize("spelled", [False, True])
def test_mixed_precision_on_a_cpu(backbone: Backbone, reference: Reference, spelled: bool) -> None:
    spec = EngineSpec(preset=backbone.preset, precision="mixed")
    graph = typed_graph(fold(backbone), spec, spelled_attention=spelled)
    with torch.no_grad():
        (batch,) = batches(spec, (0,))
        (tokens,) = graph(*batch)
    expected = torch.from_numpy(reference.tokens[0][:1])
    assert ((tokens - expected).norm() / expected.norm()).item() < 5e-3
