"""How single tensors are read: any precision, any stride, from a GPU's file, and none that is not finite."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file
from torch import Tensor

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.checkpoint.errors import CheckpointError, NonFiniteWeightsError
from omnivla_vision.checkpoint.pt_file import read_structure
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.stored import read_source
from test.checkpoint.comparison import assert_equal, executed
from test.checkpoint.writers import (
    Model,
    make_model,
    write_native,
    write_openvla,
)
from test.presets import shallow


def test_transposed_and_sliced_tensors_of_a_pt_are_gathered(small_model: Model, tmp_path: Path) -> None:
    def stride(state: dict[str, dict[str, Tensor]]) -> None:
        vision = state["vision_backbone"]
        key = "siglip_featurizer.blocks.0.mlp.fc1.weight"
        vision[key] = vision[key].t().contiguous().t()
        bias = "siglip_featurizer.blocks.0.mlp.fc1.bias"
        vision[bias] = torch.cat([vision[bias], vision[bias]])[vision[bias].numel() :]
        positions = "siglip_featurizer.pos_embed"
        vision[positions] = torch.cat([vision[positions]] * 2, dim=2)[..., : vision[positions].shape[2]]

    plain = load_checkpoint(write_native(tmp_path / "plain", small_model), preset=small_model.preset)
    odd = load_checkpoint(write_native(tmp_path / "odd", small_model, edit=stride), preset=small_model.preset)
    assert odd.fingerprint == plain.fingerprint
    assert_equal(odd.backbone_state, plain.backbone_state)


@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_other_precisions_load_as_they_are_or_as_asked(stored: torch.dtype, tmp_path: Path) -> None:
    model = make_model(shallow("dinov2-s-224", depth=2), dtype=stored)
    folder = write_openvla(tmp_path, model)
    assert load_checkpoint(folder, preset=model.preset).dtype == stored
    rounded = load_checkpoint(folder, preset=model.preset, dtype=torch.bfloat16)
    assert_equal(rounded.backbone_state, {name: t.bfloat16() for name, t in executed(model).items()})


def test_mixed_precisions_are_widened(tmp_path: Path) -> None:
    model = make_model(shallow("dinov2-s-224", depth=2))
    model.encoders[0]["pos_embed"] = model.encoders[0]["pos_embed"].float()
    assert load_checkpoint(write_openvla(tmp_path, model), preset=model.preset).dtype == torch.float32


def test_loading_runs_no_code(small_model: Model, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    def set_trap(state: dict[str, dict[str, Tensor]]) -> None:
        state["optimizer"] = Trap()  # type: ignore[assignment]

    file = write_native(tmp_path, small_model, edit=set_trap)
    with pytest.raises(CheckpointError, match="might run code"):
        load_checkpoint(file, preset=small_model.preset)
    assert not (tmp_path / "trapped").exists()


def test_the_finite_check_sees_every_place_and_kind(tmp_path: Path) -> None:
    """Every dtype; first, last and middle element; NaN and both infinities; large finite values pass."""

    count = 1_100_000  # more than one piece of reading
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        largest = torch.finfo(dtype).max
        values = torch.full((count,), -largest, dtype=dtype)
        file = tmp_path / f"{dtype}.safetensors"
        for place in (None, 0, count // 2, count - 1):
            for bad in (np.nan, np.inf, -np.inf):
                tensor = values.clone()
                if place is not None:
                    tensor[place] = bad
                save_file({"x": tensor}, file)
                source = read_header(file)["x"]
                if place is None:
                    assert torch.equal(read_source(source, dtype)[0], values)
                    break
                with pytest.raises(NonFiniteWeightsError, match="NaN or Inf"):
                    read_source(source, dtype)


def test_a_pt_file_saved_from_a_gpu_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    tensor = torch.arange(6.0).reshape(2, 3)
    torch.save({"x": tensor}, tmp_path / "x.pt")
    found, _ = read_source(read_structure(tmp_path / "x.pt")["x"], torch.float32)
    assert torch.equal(found, tensor)
