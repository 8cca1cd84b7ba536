"""The projector computes in what suits the engine and the CPU, whatever the checkpoint's own precision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional as F

from omnivla_vision.engine import machine, onednn
from omnivla_vision.images.files import read_rgb
from omnivla_vision.loading import EncoderOptions, load_encoder, projector_dtype
from omnivla_vision.network.projector import build_projector
from omnivla_vision.resources import resource_path
from test.checkpoint.writers import make_model, write_openvla
from test.presets import shallow, small_is_shallow

pytestmark = pytest.mark.full_size


@pytest.fixture(autouse=True)
def shallow_small() -> Iterator[None]:
    with small_is_shallow():
        yield


@pytest.mark.parametrize(
    ("stored", "engine"),
    [
        (torch.float16, "eager float32"),
        (torch.float16, "onednn bfloat16"),
        (torch.float16, "onednn int8"),
        (torch.bfloat16, "onednn bfloat16"),
        (torch.float32, "onednn bfloat16"),
    ],
)
def test_a_checkpoint_of_every_precision(stored: torch.dtype, engine: str, tmp_path: Path) -> None:
    name, precision = engine.split()
    if name == "onednn" and onednn.missing(precision):
        pytest.skip(f"needs {onednn.missing(precision)}")
    folder = write_openvla(tmp_path / "model", make_model(shallow("small"), dtype=stored))
    options = {"checkpoint": str(folder), "preset": "small", "space": "projected", "takes_goal": False}
    reference = load_encoder(EncoderOptions(engine="eager", **options)).encoder  # type: ignore[arg-type]
    encoder = load_encoder(EncoderOptions(engine=name, precision=precision, **options)).encoder  # type: ignore[arg-type]
    assert encoder._projector is not None
    coarse = precision in ("bfloat16", "int8") and machine.has_bfloat16()
    assert encoder._projector.dtype == (torch.bfloat16 if coarse else torch.float32)
    # The fingerprint is of what is stored, and not of what is computed in.
    assert encoder.provenance.fingerprint == reference.provenance.fingerprint
    assert encoder.provenance.precision == precision
    image = read_rgb(resource_path("resource/parity/room.png"))
    found, expected = encoder.encode(image).tokens, reference.encode(image).tokens
    cosine = F.cosine_similarity(found.double(), expected.double(), dim=-1)
    assert cosine.min() > (0.998 if precision == "int8" else 0.999 if coarse else 0.999999)


def test_never_float16_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    projectors = {dtype: build_projector([8, 8, 8]).to(dtype) for dtype in (torch.float16, torch.bfloat16)}
    for has_bfloat16 in (True, False):
        monkeypatch.setattr(machine, "has_bfloat16", lambda has=has_bfloat16: has)
        fast = torch.bfloat16 if has_bfloat16 else torch.float32
        for dtype, projector in projectors.items():
            found = [projector_dtype(projector, p) for p in ("float32", "float16", "bfloat16", "int8")]
            # A float16 engine, as on a GPU, is finer than bfloat16, and so are float16 weights.
            assert found == [torch.float32, fast if dtype == torch.bfloat16 else torch.float32, fast, fast]
