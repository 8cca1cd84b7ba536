"""Tensors are mapped while they are loaded; what runs has memory of its own, and is what was hashed."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.checkpoint.errors import ChangedFileError
from omnivla_vision.checkpoint.mapped import map_tensor
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.stored import read_source
from omnivla_vision.loading import EncoderOptions, load_encoder
from test.checkpoint.comparison import assert_equal, executed
from test.checkpoint.writers import Model, make_model, write_openvla
from test.presets import shallow, small_is_shallow


def test_writing_to_a_tensor_does_not_write_to_its_file(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"x": torch.arange(10_000.0)}, file)
    before = file.read_bytes()
    tensor, _ = read_source(read_header(file)["x"], torch.float32)
    tensor.zero_()
    assert file.read_bytes() == before


@pytest.mark.parametrize("padding", range(8))
def test_a_header_of_any_length(tmp_path: Path, padding: int) -> None:
    """Other writers than the safetensors library need not pad it to eight bytes."""
    file = tmp_path / "x.safetensors"
    values = torch.arange(5000.0)
    header = b'{"x":{"dtype":"F32","shape":[50,100],"data_offsets":[0,20000]}}' + b" " * padding
    file.write_bytes(struct.pack("<Q", len(header)) + header + values.numpy().tobytes())
    tensor, _ = read_source(read_header(file)["x"], torch.float32)
    assert torch.equal(tensor, values.reshape(50, 100))
    assert tensor.data_ptr() % 4 == 0


def test_the_end_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(bytes(100))
    assert len(map_tensor(file, offset=60, count=10, dtype=torch.float32)) == 10
    assert len(map_tensor(file, offset=100, count=0, dtype=torch.float32)) == 0
    with pytest.raises(EOFError):
        map_tensor(file, offset=64, count=10, dtype=torch.float32)


def test_what_runs_outlives_the_files(tmp_path: Path) -> None:
    """Truncated under a mapping they would kill this process; in float32 nothing has to be converted, only copied."""
    model = make_model(shallow("small", depth=2), dtype=torch.float32)
    folder = write_openvla(tmp_path, model)
    checkpoint = load_checkpoint(folder, preset=model.preset, projector=True)
    backbone, projector = checkpoint.own_backbone(torch.float32), checkpoint.own_projector()
    for file in folder.glob("*.safetensors"):
        os.truncate(file, 0)
    assert projector is not None
    assert_equal(dict(backbone.state_dict()), executed(model))
    assert_equal(dict(projector.state_dict()), model.projector)


@pytest.mark.parametrize("engine", ["eager", "onednn"])
def test_a_running_encoder_maps_nothing(tmp_path: Path, engine: str) -> None:
    model = make_model(shallow("small"), dtype=torch.float32, out_width=4096)
    folder = write_openvla(tmp_path / "weights", model)
    options = EncoderOptions(
        checkpoint=str(folder),
        preset="small",
        space="projected",
        engine=engine,
        precision="float32",
        bundle_dir=str(tmp_path / "bundles"),
    )
    with small_is_shallow():
        for _ in range(2):  # built, then from its bundle
            loaded = load_encoder(options)
            assert str(folder) not in Path("/proc/self/maps").read_text()
    del loaded


def overwrite(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"x")


def replace(file: Path) -> None:
    other = file.with_suffix(".new")
    other.write_bytes(file.read_bytes())
    other.replace(file)


@pytest.mark.parametrize("change", [overwrite, replace, Path.unlink])
def test_a_file_that_changes_in_between_is_refused(
    small_model: Model, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = write_openvla(tmp_path, small_model)
    checkpoint = load_checkpoint(folder, preset=small_model.preset, projector=True)
    checkpoint.own_backbone(torch.float32)
    change(next(file for file in checkpoint.files.states))
    for copy in (lambda: checkpoint.own_backbone(torch.float32), checkpoint.own_projector):
        with pytest.raises(ChangedFileError, match="found a file that changed while its weights were being copied"):
            copy()
