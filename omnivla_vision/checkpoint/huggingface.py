"""Format A: the Hugging Face folder of OpenVLA and OmniVLA; only what holds vision or projector is opened."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from omnivla_vision.checkpoint.assumed_path import assumed_path
from omnivla_vision.checkpoint.contents import Contents, split_encoders
from omnivla_vision.checkpoint.errors import (
    IndexFileError,
    IndexMismatchError,
    MissingShardError,
    MissingTensorError,
    PathEscapeError,
)
from omnivla_vision.checkpoint.huggingface_config import configure_from, preset_of_config
from omnivla_vision.checkpoint.json_file import read_json
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.stored import StoredTensor
from omnivla_vision.checkpoint.unsupported import adapter_beside

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
VISION, PROJECTOR = "vision_backbone.", "projector."
PREFIXES = {f"{VISION}featurizer.": 0, f"{VISION}fused_featurizer.": 1}


def read_folder(folder: Path, file: Path | None = None) -> Contents:
    """Describe a folder with an index and shards, or with (or given) one file that holds everything.

    Raises:
        CheckpointError: any of the refusals of its parts.
    """
    tensors = read_single(file) if file is not None else read_tensors(folder)
    named = file or folder
    vision = {key: tensor for key, tensor in tensors.items() if key.startswith(VISION)}
    if not vision:
        raise MissingTensorError(
            named,
            key=f"{VISION}*",
            found="no tensor of that name",
            expected="the vision encoders",
            advice="it is a language model's or a policy head's folder; give the one of the whole model",
        )
    encoders, prefixes = split_encoders(named, vision, PREFIXES)
    preset, preset_source = preset_of_config(folder, len(encoders))
    return Contents(
        format="A: OpenVLA / OmniVLA Hugging Face folder",
        file=named,
        encoders=encoders,
        prefixes=prefixes,
        projector={key.removeprefix(PROJECTOR): t for key, t in tensors.items() if key.startswith(PROJECTOR)},
        preset=preset,
        preset_source=preset_source,
        configure=configure_from(folder),
        image_path=assumed_path(folder),
        adapter_beside=adapter_beside(folder),
    )


def read_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Describe the vision's and the projector's tensors; shards without any are never opened."""
    index = folder / INDEX
    if not index.is_file():
        return read_single(folder / SINGLE)
    wanted = read_index(index)
    shards = {name: read_header(_shard(index, key, name)) for key, name in _one_key_each(wanted).items()}
    for key, name in wanted.items():
        if key not in shards[name]:
            raise IndexMismatchError(
                folder / name,
                key=key,
                found="no such tensor",
                expected=f"it, as {INDEX} says",
                advice="index and shards are of different checkpoints; download them again",
            )
    return {key: shards[name][key] for key, name in wanted.items()}


def read_index(index: Path) -> dict[str, str]:
    """The names of the vision's and the projector's tensors -> the shards that hold them.

    Raises:
        IndexFileError: the file is broken.
        PathEscapeError: a shard is out of the folder.
    """
    weight_map = read_json(index, IndexFileError).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise IndexFileError(
            index, key="weight_map", found="no mapping of names to files", expected="one", advice="download it again"
        )
    wanted = {key: name for key, name in weight_map.items() if key.startswith((VISION, PROJECTOR))}
    for key, name in _one_key_each(wanted).items():
        _check_inside(index, key, name)
    return wanted


def read_single(file: Path) -> dict[str, StoredTensor]:
    """Describe the vision's and the projector's tensors of one file."""
    return {key: tensor for key, tensor in read_header(file).items() if key.startswith((VISION, PROJECTOR))}


def _one_key_each(wanted: dict[str, str]) -> dict[str, str]:
    """For every shard a key that lies in it, to name in an error."""
    return {key: name for name, key in {name: key for key, name in wanted.items()}.items()}


def _check_inside(index: Path, key: str, name: str) -> None:
    # By the text alone: the file itself may well be a symlink out of the folder, as in the hub's cache.
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise PathEscapeError(
            index,
            key=key,
            found=f"file {name!r}",
            expected="a file inside the folder",
            advice="do not use this checkpoint: its index was tampered with",
        )


def _shard(index: Path, key: str, name: str) -> Path:
    file = index.parent / name
    if not file.is_file():
        raise MissingShardError(
            index,
            key=key,
            found=f"no file {name}" + (" (a symlink to nothing)" if file.is_symlink() else ""),
            expected="the shard beside the index",
            advice="download it; shards that hold only the language model are not needed",
        )
    return file
