"""Folders as they lie on people's disks: pointers in place of files, other formats, adapters, heads, leftovers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file

from omnivla_vision.checkpoint import errors, load_checkpoint
from omnivla_vision.checkpoint.ignored import ignored
from test.checkpoint.refusals import INDEX, refused
from test.checkpoint.writers import Model, openvla_state, write_native, write_oft, write_openvla, write_timm

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 6948961960\n".format("0" * 64)
SAID = ("found a git-lfs pointer", "expected the file itself, 6948961960 bytes", "run git lfs pull")
DOCS = Path(__file__).parents[2] / "docs" / "checkpoints.md"


@pytest.fixture
def folder(small_model: Model, tmp_path: Path) -> Path:
    return write_openvla(tmp_path / "model", small_model)


@pytest.mark.parametrize("name", ["model-00001-of-00003.safetensors", INDEX, "config.json"])
def test_a_pointer_in_a_clone(name: str, folder: Path, small_model: Model) -> None:
    (folder / name).write_text(POINTER)
    refused(folder, small_model, errors.LfsPointerError, name, *SAID)


def test_a_pointer_for_a_shard_that_is_not_needed_does_no_harm(folder: Path, small_model: Model) -> None:
    (folder / "model-00003-of-00003.safetensors").write_text(POINTER)
    load_checkpoint(folder, preset=small_model.preset, projector=True)


def test_a_pointer_of_every_other_format(small_model: Model, tmp_path: Path) -> None:
    files = [
        write_native(tmp_path / "b", small_model),
        write_timm(tmp_path / "c" / "model.safetensors", small_model.encoders[0]),
        write_oft(tmp_path / "d", small_model)[0],
    ]
    for file, spec in zip(files, (tmp_path / "b", tmp_path / "c", tmp_path / "d"), strict=True):
        file.write_text(POINTER)
        refused(spec, small_model, errors.LfsPointerError, file.name, *SAID)
        refused(file, small_model, errors.LfsPointerError, file.name, *SAID)


def test_pickled_weights_are_named_and_never_taken_for_a_backbone(
    folder: Path, small_model: Model, tmp_path: Path
) -> None:
    """Also a shard that happens to hold the vision alone, whose names are those of OpenVLA-OFT's backbone."""
    other = tmp_path / "pickled"
    other.mkdir()
    names = {"pytorch_model.bin": openvla_state(small_model)}
    for number, shard in enumerate(sorted(folder.glob("*.safetensors")), start=1):
        names[f"pytorch_model-{number:05}-of-00003.bin"] = load_file(shard)
    for name, state in names.items():
        torch.save(state, other / name)
        said = (f"found {name}: pickled weights of a whole model", "docs/checkpoints.md", "Converting")
        refused(other / name, small_model, errors.PickledWeightsError, *said)
        refused(other, small_model, errors.PickledWeightsError, *said)
        # Whatever it is called.
        if "language_model.lm_head.weight" in state:
            renamed = tmp_path / "vision_backbone--1_checkpoint.pt"
            torch.save(state, renamed)
            refused(renamed, small_model, errors.PickledWeightsError, "pickled weights of a whole model")
        (other / name).unlink()
    # Beside safetensors it does no harm, and `inspect` names it.
    (folder / "pytorch_model.bin").touch()
    loaded = load_checkpoint(folder, preset=small_model.preset, projector=True)
    assert "pytorch_model.bin" in ignored(loaded)


def test_the_documented_lines_convert(folder: Path, small_model: Model, tmp_path: Path) -> None:
    section = DOCS.read_text().partition("## Converting")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    index = json.loads((folder / INDEX).read_text())
    rename = {shard.name: f"pytorch_{shard.stem}.bin" for shard in folder.glob("*.safetensors")}
    for old, new in rename.items():
        torch.save(load_file(folder / old), pickled / new)
    index["weight_map"] = {key: rename[name] for key, name in index["weight_map"].items()}
    (pickled / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    subprocess.run([sys.executable, "-c", code[1]], cwd=pickled, check=True)
    found = load_checkpoint(pickled, preset=small_model.preset, projector=True)
    assert found.fingerprint == load_checkpoint(folder, preset=small_model.preset, projector=True).fingerprint
    for file in pickled.iterdir():
        file.unlink()
    torch.save(openvla_state(small_model), pickled / "pytorch_model.bin")
    subprocess.run([sys.executable, "-c", code[1]], cwd=pickled, check=True)
    assert load_checkpoint(pickled, preset=small_model.preset, projector=True).fingerprint == found.fingerprint


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """As PEFT saves it in OpenVLA-OFT's training folder."""
    adapter = tmp_path / "lora_adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    key = "base_model.model.vision_backbone.featurizer.blocks.0.attn.qkv.lora_A.weight"
    save_file({key: torch.zeros(4, 8)}, adapter / "adapter_model.safetensors")
    return adapter


def test_an_adapter_beside_shards_is_spoken_of(folder: Path, small_model: Model, adapter: Path) -> None:
    plain = load_checkpoint(folder, preset=small_model.preset)
    assert plain.warnings == ()
    shutil.move(adapter, folder)
    for extra in (lambda: None, lambda: write_oft(folder, small_model)):
        extra()
        found = load_checkpoint(folder, preset=small_model.preset, lora_alpha=None)
        (warning,) = [words for words in found.warnings if "lora_adapter" in words]
        assert "is not used: the shards beside it are taken as they are" in warning
        assert "give it with --lora-adapter (parameter lora_adapter)" in warning
        assert str(Path("lora_adapter", "adapter_model.safetensors")) in ignored(found)


def test_an_adapter_alone(adapter: Path, small_model: Model) -> None:
    said = ("found a LoRA adapter alone", "give the base model as the checkpoint", "--lora-adapter")
    for path in (adapter, adapter.parent, adapter / "adapter_model.safetensors"):
        refused(path, small_model, errors.AdapterWithoutBaseError, "adapter_model.safetensors", *said)


def test_what_is_ignored_is_listed(folder: Path, small_model: Model, tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, folder / "action_head--1000_checkpoint.pt")
    found = ignored(load_checkpoint(folder, preset=small_model.preset, projector=True))
    assert found == (
        "language_model.* in model-00001-of-00003.safetensors (1 tensors)",
        "action_head--1000_checkpoint.pt",
        "model-00003-of-00003.safetensors",
    )
    # The projector is not read where fused tokens are asked for, and not ignored either.
    assert ignored(load_checkpoint(folder, preset=small_model.preset)) == found
    native = write_native(tmp_path / "b", small_model)
    native.with_name("step-1.pt").touch()
    found = ignored(load_checkpoint(tmp_path / "b", preset=small_model.preset))
    assert found == ("llm_backbone.* in latest-checkpoint.pt (3 tensors)", str(Path("checkpoints", "step-1.pt")))


def test_a_file_that_cannot_be_read(folder: Path, small_model: Model) -> None:
    shard = folder / "model-00001-of-00003.safetensors"
    shard.chmod(0)
    try:
        shard.open("rb").close()  # root may read everything
    except PermissionError:
        refused(folder, small_model, errors.UnreadableFileError, shard.name, "found Permission denied", "permissions")
    # What a broken disk says: so does the memory of a process, where nothing is mapped.
    shard.unlink()
    shard.symlink_to("/proc/self/mem")
    refused(folder, small_model, errors.UnreadableFileError, str(folder), "found Input/output error", "that is sound")
