"""Engines on encoders of unequal grids, on a rectangle, and with a class token: each gives what it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.engine import onednn, parity
from omnivla_vision.engine.base import Engine, EngineSpec
from omnivla_vision.engine.eager import EagerEngine
from omnivla_vision.engine.fold import fold
from omnivla_vision.engine.parity_images import START_IMAGES, parity_images
from omnivla_vision.engine.reference import Reference, compute_reference
from omnivla_vision.engine.start import ENGINES, get_backend
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.features import fuse
from omnivla_vision.network.presets import Preset
from omnivla_vision.network.realistic_weights import NO_ODDITIES, REALISTIC, fill_realistic
from test.presets import shallow

ROWS = {"robottrack-384": [24 * 24, 27 * 27], "citywalker-350x630": [1 + 25 * 45]}
CASES = [
    pytest.param(name, precision, id=f"{name}-{precision}", marks=[pytest.mark.slow] if name == "inductor" else [])
    for name in ENGINES
    for precision in get_backend(name).PRECISIONS
]


NARROW = {"width": 192, "heads": 3, "mlp_width": 768}


@pytest.fixture(
    scope="module",
    params=[
        *(pytest.param((name, NARROW), id=f"{name}-narrow") for name in ROWS),
        *(pytest.param((name, {}), id=name, marks=pytest.mark.slow) for name in ROWS),
    ],
)
def preset(request: pytest.FixtureRequest) -> Preset:
    """One block of each encoder."""
    name, sizes = request.param
    preset = shallow(name, 1)
    return replace(preset, encoders=tuple(replace(spec, **sizes) for spec in preset.encoders))


@pytest.fixture(scope="module")
def backbone(preset: Preset) -> Backbone:
    backbone = build_backbone(preset)
    fill_realistic(backbone, seed=0, oddities=NO_ODDITIES)
    return backbone


@pytest.fixture(scope="module")
def reference(backbone: Backbone) -> Reference:
    return compute_reference(backbone)


def built(name: str, precision: str, backbone: Backbone, folder: Path) -> tuple[Engine, EngineSpec]:
    backend = get_backend(name)
    if lacking := backend.missing(precision):
        pytest.skip(f"{name} in {precision} needs {lacking}")
    spec = EngineSpec(preset=backbone.preset, precision=precision)
    backend.build(fold(backbone), spec, folder)
    return backend.load(folder, spec), spec


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_an_engine_passes_the_gate(
    name: str, precision: str, preset: Preset, backbone: Backbone, reference: Reference, tmp_path: Path
) -> None:
    engine, spec = built(name, precision, backbone, tmp_path)
    parity.check(engine, spec, reference, START_IMAGES)
    features = engine(Preprocessor(preset).pixels([parity_images()[0]]))
    assert [part.shape[1] for part in features] == ROWS[preset.name]
    assert fuse(features, preset).patches.shape == (1, preset.tokens_per_image, preset.width)


def test_realistic_weights_pass_too(preset: Preset, tmp_path: Path) -> None:
    backbone = build_backbone(preset)
    fill_realistic(backbone, seed=0, oddities=REALISTIC)
    reference = compute_reference(backbone)
    for precision in onednn.PRECISIONS:
        if onednn.missing(precision):
            continue
        (tmp_path / precision).mkdir()
        engine, spec = built("onednn", precision, backbone, tmp_path / precision)
        parity.check(engine, spec, reference, START_IMAGES)


def test_the_encoder_gives_each_output(backbone: Backbone, preset: Preset) -> None:
    """Also for the black image of the network's own size with which it warms up."""
    encoder = VisionEncoder(EagerEngine(backbone), preset, weights="random", fingerprint="", takes_goal=False)
    encoder.warm_up()
    tokens = encoder.encode(parity_images()[0])
    with torch.no_grad():
        features = fuse(backbone(*Preprocessor(preset)([parity_images()[0]])), preset)
    for output, blocks in zip(preset.outputs, tokens.outputs, strict=True):
        assert torch.equal(blocks[0], features.pool(output.pooling).flatten(0, 1))


def test_the_class_token_comes_first(backbone: Backbone, preset: Preset) -> None:
    if not preset.encoders[0].class_output:
        pytest.skip("no encoder gives its own")
    stacks = Preprocessor(preset)([parity_images()[0]])
    with torch.no_grad():
        (features,) = backbone(*stacks)
        encoder = backbone.encoders[preset.encoders[0].name]
        every = encoder.norm(encoder.blocks(encoder._embed(encoder.patch_embed(*stacks))))
    assert torch.equal(features, every)  # DINOv2-B has no registers between


def test_the_gate_sees_a_wrong_class_token_alone(backbone: Backbone, preset: Preset, reference: Reference) -> None:
    if not preset.encoders[0].class_output:
        pytest.skip("no encoder gives its own")
    spec = EngineSpec(preset=preset, precision="float32", entry="stack")

    def without(stacks: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            (features,) = backbone(*stacks)
        return (torch.cat([features[:, 1:2], features[:, 1:]], dim=1),)

    results = parity.judge(
        reference.compare(parity.features(without, spec, START_IMAGES), START_IMAGES), "float32", reference
    )
    assert results[0].excess > 1
