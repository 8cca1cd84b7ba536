"""A checkpoint in several .safetensors files with an index of them; only those that hold what is wanted are opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from omnivla_vision.checkpoint.errors import IndexFileError, IndexMismatchError, MissingShardError, PathEscapeError
from omnivla_vision.checkpoint.json_file import read_json
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.stored import StoredTensor

INDEX = "model.safetensors.index.json"
Wanted = Callable[[str], bool]


def read_names(index: Path) -> dict[str, str]:
    """The names of all tensors -> the shards that hold them.

    Raises:
        IndexFileError: the file is broken.
    """
    weight_map = read_json(index, IndexFileError).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise IndexFileError(
            index, key="weight_map", found="no mapping of names to files", expected="one", advice="download it again"
        )
    return weight_map


def read_index(index: Path, wanted: Wanted) -> dict[str, str]:
    """The names of the tensors that are wanted -> the shards that hold them.

    Raises:
        IndexFileError: the file is broken.
        PathEscapeError: a shard is out of the folder.
    """
    names = {key: name for key, name in read_names(index).items() if wanted(key)}
    for key, name in _one_key_each(names).items():
        _check_inside(index, key, name)
    return names


def read_shards(index: Path, wanted: Wanted) -> dict[str, StoredTensor]:
    """Describe the tensors that are wanted.

    Raises:
        IndexFileError, PathEscapeError: as `read_index`.
        MissingShardError: a shard is not there.
        IndexMismatchError: a tensor is not in the shard that the index names.
    """
    names = read_index(index, wanted)
    shards = {name: read_header(_shard(index, key, name)) for key, name in _one_key_each(names).items()}
    for key, name in names.items():
        if key not in shards[name]:
            raise IndexMismatchError(
                index.parent / name,
                key=key,
                found="no such tensor",
                expected=f"it, as {INDEX} says",
                advice="index and shards are of different checkpoints; download them again",
            )
    return {key: shards[name][key] for key, name in names.items()}


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
