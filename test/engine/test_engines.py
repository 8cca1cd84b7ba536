"""Every engine behind the same tests. Those that this machine cannot run are skipped, with what is missing."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.engine import parity
from omnivla_vision.engine.base import Engine, EngineInputError, EngineSpec
from omnivla_vision.engine.parity_images import ALL_IMAGES, parity_images
from omnivla_vision.engine.reference import Reference
from omnivla_vision.engine.select import build_engine
from omnivla_vision.engine.start import ENGINES, get_backend
from omnivla_vision.goal import Goal
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset

from .conftest import FINGERPRINT

CASES = [
    pytest.param((name, precision), id=f"{name}-{precision}", marks=[pytest.mark.slow] if name == "inductor" else [])
    for name in ENGINES
    for precision in get_backend(name).PRECISIONS
]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    name, precision = request.param
    lacking = get_backend(name).missing(precision)
    if lacking:
        pytest.skip(f"{name} in {precision} needs {lacking}")
    return name, precision


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def engine(case: tuple[str, str], backbone: Backbone, preset: Preset, bundles: Path) -> Engine:
    name, precision = case
    return build_engine(
        backbone, preset=preset, fingerprint=FINGERPRINT, engine=name, precision=precision, bundle_dir=bundles
    )


def test_is_what_was_asked_for(engine: Engine, case: tuple[str, str]) -> None:
    assert (engine.name, engine.precision, engine.notice) == (*case, "")


def test_computes_the_reference_on_all_images(engine: Engine, preset: Preset, reference: Reference) -> None:
    spec = EngineSpec(preset=preset, precision=engine.precision)
    parity.check(engine, spec, reference, ALL_IMAGES)


def test_result_is_float32_of_each_encoder_and_repeatable(engine: Engine, preset: Preset) -> None:
    pixels = Preprocessor(preset).pixels([parity_images()[0]])
    first, second = engine(pixels), engine(pixels)
    assert [tuple(part.shape) for part in first] == [(1, spec.rows, spec.width) for spec in preset.encoders]
    assert {part.dtype for part in first} == {torch.float32}
    assert all(map(torch.equal, first, second))


def test_second_start_builds_nothing_and_leaves_nothing(
    engine: Engine,
    preset: Preset,
    bundles: Path,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def never() -> Backbone:
        raise AssertionError("the weights were asked for")

    with caplog.at_level(logging.WARNING):
        again = build_engine(
            never, preset=preset, fingerprint=FINGERPRINT, engine=engine.name, precision=engine.precision,
            bundle_dir=bundles, read_only=True,
        )  # fmt: skip
    pixels = Preprocessor(preset).pixels([parity_images()[1]])
    assert all(map(torch.equal, engine(pixels), again(pixels)))
    assert not caplog.records
    assert list(tmp_path.iterdir()) == [], "unpacked packages would fill the disk, one at each start"


def test_another_number_of_images_is_refused(engine: Engine, preset: Preset) -> None:
    if engine.name == "eager":
        pytest.skip("eager takes any number")
    images = parity_images()[:2]
    with pytest.raises(EngineInputError, match=r"built for uint8 \[1, 3, 224, 224\], uint8 \[1, 3, 256, 256\]"):
        engine(Preprocessor(preset).pixels(images))
    with pytest.raises(EngineInputError, match="found input tensors float32"):
        engine(Preprocessor(preset)(images[:1]))


def test_serves_the_encoder_with_a_cached_goal(engine: Engine, preset: Preset) -> None:
    encoder = VisionEncoder(engine, preset, weights="random", fingerprint=FINGERPRINT)
    current, goal = parity_images()[:2]
    encoder.set_goal(Goal(rgb=goal))
    tokens = encoder.encode(current).tokens
    assert torch.equal(tokens[preset.tokens_per_image :], encoder.encode(goal).tokens[: preset.tokens_per_image])
    assert not torch.equal(tokens[: preset.tokens_per_image], tokens[preset.tokens_per_image :])


@pytest.mark.parametrize(("name", "precision"), [("onednn", "float32"), ("onednn", "bfloat16"), ("eager", "float32")])
def test_two_images_and_the_stack_entry_equal_one_image_of_pixels(
    name: str, precision: str, backbone: Backbone, preset: Preset, store: Path
) -> None:
    if get_backend(name).missing(precision):
        pytest.skip(get_backend(name).missing(precision))

    def build(images: int, entry: str) -> Engine:
        return build_engine(
            backbone, preset=preset, fingerprint=FINGERPRINT, engine=name, precision=precision,
            images=images, entry=entry, bundle_dir=store,  # type: ignore[arg-type]
        )  # fmt: skip

    def fused(features: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return torch.cat(features, dim=-1)

    preprocess = Preprocessor(preset)
    pictures = parity_images()[:2]
    singles = torch.cat([fused(build(1, "uint8")(preprocess.pixels([picture]))) for picture in pictures])
    # The graph's normalization is the stack's, bit for bit.
    stacks = torch.cat([fused(build(1, "stack")(preprocess([picture]))) for picture in pictures])
    assert torch.equal(stacks, singles)
    pair = fused(build(2, "stack")(preprocess(pictures)))
    assert (pair - singles).norm() <= 1e-2 * singles.norm()


def test_pixels_are_what_the_stack_normalizes(preset: Preset) -> None:
    generator = np.random.default_rng(5)
    image = generator.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    preprocess = Preprocessor(preset)
    for pixels, stack, inputs in zip(preprocess.pixels([image]), preprocess([image]), preset.inputs, strict=True):
        spec = inputs.encoders[0]
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
        assert torch.equal((pixels.float() / 255 - mean) / std, stack)
