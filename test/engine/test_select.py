"""Choosing an engine, and refusing one, in words that say what is missing."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.engine import eager, machine, onednn, onnxruntime, select, tensorrt
from omnivla_vision.engine.base import (
    Engine,
    EngineFailedError,
    EngineSpec,
    EngineUnavailableError,
    UnknownEngineError,
)
from omnivla_vision.engine.bundle import StaleBundleError
from omnivla_vision.engine.fit import NotEnoughMemoryError
from omnivla_vision.engine.fold import fold
from omnivla_vision.engine.parity import ParityError
from omnivla_vision.engine.parity_images import parity_images
from omnivla_vision.engine.select import build_engine
from omnivla_vision.engine.start import verify
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.image_paths import get_image_path
from omnivla_vision.network.presets import Preset
from omnivla_vision.network.region import Region
from omnivla_vision.network.views import Mask, Views
from omnivla_vision.network.vit import LayerScale
from test.presets import shallow

from .conftest import FINGERPRINT, small_backbone


@pytest.fixture
def build(backbone: Backbone, preset: Preset, store: Path):
    def build(engine: str = "auto", precision: str = "auto", fingerprint: str = FINGERPRINT) -> Engine:
        return build_engine(
            backbone, preset=preset, fingerprint=fingerprint, engine=engine, precision=precision, bundle_dir=store
        )

    return build


def test_auto_takes_bfloat16_where_the_cpu_has_it(build, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    if onednn.missing("float32"):
        pytest.skip(onednn.missing("float32"))
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    with caplog.at_level(logging.INFO):
        engine = build()
    assert (engine.name, engine.precision, engine.notice) == ("onednn", "float32", "")
    assert "engine onednn in float32: this CPU has no faster format" in caplog.text
    monkeypatch.undo()
    if machine.has_bfloat16():
        assert build().precision == "bfloat16"
        assert build(precision="float32").precision == "float32"


def test_one_bundle_serves_every_path_region_and_mask(build, backbone: Backbone, preset: Preset, store: Path) -> None:
    build("eager", "float32")
    views = Views(regions=(("", Region(height=0.8)),), masks=(("", Mask(hidden=np.eye(9, dtype=bool))),))
    cropped = replace(preset, image_path=get_image_path("openvla-oft-crop"), views=views)
    found = build_engine(
        lambda: pytest.fail("the weights were read"),
        preset=cropped,
        fingerprint=FINGERPRINT,
        engine="eager",
        precision="float32",
        bundle_dir=store,
        read_only=True,
    )
    pixels = Preprocessor(preset).pixels([parity_images()[0]])
    assert all(map(torch.equal, found(pixels), build("eager", "float32")(pixels)))
    (bundle,) = (path for path in store.glob("*-eager-float32-*") if path.is_dir())
    assert verify(bundle).spec.preset == preset


def test_auto_falls_back_and_says_so(build, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """An engine whose build breaks, one whose tokens are wrong, one that is missing: then the reference itself."""

    def broken(*_: object) -> None:
        raise RuntimeError("no kernel image is available")

    def wrong_tokens(folder: Path, spec) -> Engine:
        engine = eager.load(folder, spec)
        next(engine._graph.backbone.parameters()).mul_(-1)
        return engine

    names = {"onnxruntime": "float32", "onednn": "float32", "tensorrt": "float16", "eager": "float32"}
    monkeypatch.setattr(select, "candidates", lambda: [(name, precision, "") for name, precision in names.items()])
    monkeypatch.setattr(onnxruntime, "missing", lambda _: "")
    monkeypatch.setattr(onnxruntime, "versions", dict)
    monkeypatch.setattr(onnxruntime, "build", broken)
    monkeypatch.setattr(onednn, "missing", lambda _: "")
    monkeypatch.setattr(onednn, "load", wrong_tokens)
    monkeypatch.setattr(onednn, "build", eager.build)
    engine = build()
    assert (engine.name, engine.precision) == ("eager", "float32")
    for part in (
        "eager in float32 instead of onnxruntime in float32: ",
        "could not be built: RuntimeError: no kernel image is available",
        "instead of onednn in float32: ",
        "token cosine min",
        "instead of tensorrt in float16: ",
    ):
        assert part in engine.notice
        assert part.removeprefix("eager in float32 ").removeprefix("instead of ") in caplog.text


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("eager", "int8", "eager does not compute in int8; it offers float32, bfloat16, float16"),
        ("tensorrt", "float32", "tensorrt cannot run in float32 here: it needs an NVIDIA GPU"),
        ("tensorrt", "auto", "tensorrt cannot run in float32 here: it needs an NVIDIA GPU"),
        ("auto", "float16", "auto has no engine for float16 here"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_named_engine_that_cannot_run_names_what_is_missing(build, engine, precision, message, store: Path) -> None:
    with pytest.raises(EngineUnavailableError, match=message):
        build(engine, precision)
    assert not list(store.glob("*"))


def test_a_named_engine_is_never_replaced(build, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    load = eager.load

    def lose_a_block(folder: Path, spec) -> Engine:
        engine = load(folder, spec)
        encoder = engine._graph.backbone.encoders["siglip"]
        encoder.blocks = encoder.blocks[:-1]
        return engine

    monkeypatch.setattr(eager, "load", lose_a_block)
    with pytest.raises(ParityError, match="siglip: token cosine"):
        build("eager", "float32")
    assert not list(store.glob("small-eager-*")), "a refused engine was kept"


def test_a_library_that_breaks_is_named(build, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(eager, "build", broken)
    with pytest.raises(EngineFailedError, match="engine eager in float32 could not be built: RuntimeError: out of mem"):
        build("eager", "float32")


def test_a_build_that_cannot_fit_is_refused_with_the_numbers(build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda *_: 100_000_000)
    with pytest.raises(NotEnoughMemoryError, match=r"takes about 0\.\d GB of memory, and 0\.1 GB are available"):
        build("eager", "float32")


def test_verify_takes_a_bundle_for_what_it_says_it_is(build, preset: Preset, store: Path) -> None:
    build("eager", "float32")
    (bundle,) = store.glob("small-eager-*")
    started = verify(bundle)
    assert started.spec == EngineSpec(preset=preset, precision="float32")
    assert [result.difference.encoder for result in started.results] == ["dinov2", "siglip"]


def test_a_bundle_of_another_machine_is_stale(build, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    build("eager", "float32")
    monkeypatch.setattr(machine, "facts", lambda: {"machine": "riscv64"})
    (bundle,) = store.glob("small-eager-*")
    with pytest.raises(StaleBundleError, match=r"expected \{'machine': 'riscv64'\}"):
        verify(bundle)


def test_unknown_names(build) -> None:
    with pytest.raises(UnknownEngineError, match="unknown engine 'onnx'; expected auto or one of eager"):
        build("onnx")
    with pytest.raises(UnknownEngineError, match="unknown precision 'fp16'; expected auto or one of float32"):
        build("eager", "fp16")


def test_the_gate_stands_at_every_start(build, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle whose files are whole, on a machine that computes something else with them."""
    build("eager", "float32")
    original = Preprocessor.pixels
    monkeypatch.setattr(
        Preprocessor, "pixels", lambda self, images: tuple(pixels.flip(1) for pixels in original(self, images))
    )
    with pytest.raises(ParityError):
        build("eager", "float32")


def test_what_a_user_accepted_is_said_at_every_start_and_is_nobody_elses(
    backbone: Backbone, preset: Preset, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it was seen on an image that a start does not look at."""
    (unseen,) = Preprocessor(preset).pixels([parity_images()[2]])[:1]
    load = eager.load

    def off_on_one_image(folder: Path, spec: EngineSpec) -> Engine:
        engine = load(folder, spec)
        run = engine._run

        def off(*pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            factor = 1.0005 if torch.equal(pixels[0], unseen) else 1.0
            return tuple(features * factor for features in run(*pixels))

        engine._run = off
        return engine

    def build(tolerance: float) -> Engine:
        return build_engine(
            backbone, preset=preset, fingerprint=FINGERPRINT, engine="eager", precision="float32", bundle_dir=store,
            tolerance=tolerance,
        )  # fmt: skip

    monkeypatch.setattr(eager, "load", off_on_one_image)
    for _ in ("built", "from its bundle"):
        assert "accepted with gate.tolerance 100: dinov2: token cosine" in build(100.0).notice
    with pytest.raises(ParityError, match="times over the limits"):
        build(1.0)
    assert "accepted with" in build(100.0).notice, "the bundle stays for whoever accepts it"


def test_other_weights_are_another_bundle(build, store: Path) -> None:
    build("eager", "float32")
    build("eager", "float32", "other weights")
    assert len(list(store.glob("small-eager-*"))) == 2
    assert len(list(store.glob("small-reference-*"))) == 2


@pytest.mark.parametrize("module", [eager, onednn, onnxruntime, tensorrt])
def test_what_is_missing_is_a_phrase(module: ModuleType) -> None:
    for precision in module.PRECISIONS:
        assert not module.missing(precision).endswith(".")


@pytest.mark.parametrize("name", ["small", "dinosiglip-224"])
def test_folding_changes_nothing_but_the_number_of_operations(name: str) -> None:
    preset = shallow(name, 3)
    backbone = small_backbone(preset)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    folded = fold(backbone)
    stacks = Preprocessor(preset)([parity_images()[0]])
    with torch.inference_mode():
        expected, found = (torch.cat(network(*stacks), dim=-1) for network in (backbone, folded))
    assert 0 < (found - expected).norm() < 2e-6 * expected.norm()
    assert not any(isinstance(module, LayerScale) for module in folded.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())
