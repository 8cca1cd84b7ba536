"""Files that are missing, damaged, dangerous or of no known format are refused with a sentence that helps."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file

from omnivla_vision.checkpoint import errors
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.stored import read_source
from test.checkpoint.refusals import FIRST, INDEX, QKV, SECOND, edit_index, refused, shard_of
from test.checkpoint.writers import (
    Model,
    write_native,
    write_oft,
    write_openvla,
    write_timm,
)


@pytest.fixture
def folder(small_model: Model, tmp_path: Path) -> Path:
    return write_openvla(tmp_path / "model", small_model)


def test_nothing_there(small_model: Model, tmp_path: Path) -> None:
    refused(tmp_path / "typo", small_model, errors.CheckpointNotFoundError, "typo: found nothing", "check the path")


def test_an_empty_folder(small_model: Model, tmp_path: Path) -> None:
    refused(tmp_path, small_model, errors.UnknownFormatError, "an empty folder", INDEX, "vision_backbone--*")


def test_a_folder_of_something_else(small_model: Model, tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    refused(tmp_path, small_model, errors.UnknownFormatError, "found README.md", "the folder of a checkpoint")


def test_a_file_of_something_else(small_model: Model, tmp_path: Path) -> None:
    other = tmp_path / "action_head.safetensors"
    save_file({"model.fc1.weight": torch.zeros(2)}, other)
    refused(other, small_model, errors.UnknownFormatError, "a file of another kind", "supported format")
    refused(f"{other}+{other}", small_model, errors.UnknownFormatError, "one model's .safetensors on each side of")
    head = tmp_path / "action_head--1000_checkpoint.pt"
    torch.save({"model.fc1.weight": torch.zeros(2)}, head)
    refused(head, small_model, errors.UnknownFormatError, "a file of another kind")


def test_several_steps(small_model: Model, tmp_path: Path) -> None:
    file, _ = write_oft(tmp_path / "d", small_model)
    file.with_name("vision_backbone--2000_checkpoint.pt").symlink_to(file)
    refused(tmp_path / "d", small_model, errors.AmbiguousCheckpointError, "--1000_", "--2000_", "name the file")
    file = write_native(tmp_path / "b", small_model)
    file.rename(file.with_name("step-000001.pt"))
    file.with_name("step-000002.pt").touch()
    refused(tmp_path / "b", small_model, errors.AmbiguousCheckpointError, "2 .pt files", "step-000002.pt")


def test_timm_files_in_an_order_that_nobody_knows(small_model: Model, tmp_path: Path) -> None:
    for name, encoder in zip(("one", "other"), small_model.encoders, strict=True):
        write_timm(tmp_path / f"{name}.safetensors", encoder)
    refused(tmp_path, small_model, errors.AmbiguousCheckpointError, "one.safetensors", "with a + between them")


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_a_broken_index(small_model: Model, folder: Path, text: str) -> None:
    (folder / INDEX).write_text(text)
    refused(folder, small_model, errors.IndexFileError, INDEX, "download it again")


@pytest.mark.parametrize("target", ["../outside.safetensors", "a/../../outside.safetensors", "{absolute}"])
def test_an_index_entry_that_leaves_the_folder(small_model: Model, folder: Path, target: str) -> None:
    outside = folder.parent / "outside.safetensors"
    save_file({f"{FIRST}pos_embed": small_model.encoders[0]["pos_embed"]}, outside)
    edit_index(folder, **{f"{FIRST}pos_embed": target.replace("{absolute}", str(outside))})
    refused(folder, small_model, errors.PathEscapeError, f"{FIRST}pos_embed", "outside", "tampered")


def test_a_missing_shard(small_model: Model, folder: Path) -> None:
    shard = shard_of(folder, f"{SECOND}{QKV}")
    shard.unlink()
    refused(folder, small_model, errors.MissingShardError, INDEX, f"found no file {shard.name}", "download it")
    shard.symlink_to(folder / "nowhere")
    refused(folder, small_model, errors.MissingShardError, "a symlink to nothing")


def test_an_index_naming_a_missing_key(small_model: Model, folder: Path) -> None:
    edit_index(folder, **{f"{FIRST}{QKV}": "model-00003-of-00003.safetensors"})
    refused(folder, small_model, errors.IndexMismatchError, "model-00003", f"{FIRST}{QKV}", "different checkpoints")


def test_a_truncated_shard(small_model: Model, folder: Path) -> None:
    shard = shard_of(folder, f"{SECOND}{QKV}")
    whole = shard.stat().st_size
    for size in (whole - 1, whole // 2, 1000, 8, 3, 0):
        with shard.open("r+b") as stream:
            stream.truncate(size)
        refused(folder, small_model, errors.CorruptFileError, shard.name, "truncated or damaged", "download it again")


@pytest.mark.parametrize(
    "header",
    [
        b"no json",
        b"[]",
        b'{"x": {"dtype": "F32"}}',
        b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}',
    ],
)
def test_a_shard_with_a_broken_header(small_model: Model, folder: Path, header: bytes) -> None:
    shard = shard_of(folder, f"{SECOND}{QKV}")
    shard.write_bytes(struct.pack("<Q", len(header)) + header + bytes(100))
    refused(folder, small_model, errors.CorruptFileError, shard.name, "a header that does not parse")


def test_a_file_that_shrinks_while_it_is_read(small_model: Model, folder: Path) -> None:

    shard = shard_of(folder, f"{SECOND}{QKV}")
    source = read_header(shard)[f"{SECOND}{QKV}"]
    with shard.open("r+b") as stream:
        stream.truncate(source.offset + 10)
    with pytest.raises(errors.CorruptFileError, match="found the end of the file"):
        read_source(source, torch.bfloat16)


def test_a_pt_file_with_code(small_model: Model, tmp_path: Path) -> None:
    file = write_native(tmp_path, small_model, edit=lambda state: state.update(config=Path("/")))  # type: ignore[call-overload]
    refused(
        file, small_model, errors.UnsafePickleError, "pathlib", "tensors and plain containers only", "might run code"
    )


def test_a_truncated_pt_file(small_model: Model, tmp_path: Path) -> None:
    file = write_native(tmp_path, small_model)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)
    refused(file, small_model, errors.CorruptFileError, "without its end", "truncated or damaged")
    file.write_bytes(b"<html>not found</html>")
    refused(file, small_model, errors.CorruptFileError, "no zip archive")


def test_a_zip_that_is_no_pt_file(small_model: Model, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("a", "b")
    refused(tmp_path / "x.pt", small_model, errors.CorruptFileError, "x.pt", "expected a .pt file")


def test_a_pt_file_of_old(small_model: Model, tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pt", small_model, errors.LegacyPickleError, "before 1.6", "torch.save(torch.load(old")
