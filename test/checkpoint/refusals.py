"""How refusals are checked, and how checkpoints are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from omnivla_vision.checkpoint import errors, load_checkpoint
from omnivla_vision.errors import VisionError
from test.checkpoint.writers import (
    Edit,
    Model,
)

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "vision_backbone.featurizer.", "vision_backbone.fused_featurizer."
QKV = "blocks.0.attn.qkv.weight"


def refused(path: str | Path, model: Model, error: type[errors.CheckpointError], *parts: str, **options: Any) -> None:
    """Loading raises exactly this class, and the sentence has all the parts."""
    with pytest.raises(error) as caught:
        load_checkpoint(path, preset=model.preset, **options)
    assert type(caught.value) is error
    message = str(caught.value)
    for part in (": found ", "; expected ", *parts):
        assert part in message, message
    assert caught.value.advice
    assert isinstance(caught.value, VisionError)


def edit_index(folder: Path, **entries: str) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] |= {key.replace("__", "."): name for key, name in entries.items()}
    (folder / INDEX).write_text(json.dumps(index))


def shard_of(folder: Path, key: str) -> Path:
    return folder / str(json.loads((folder / INDEX).read_text())["weight_map"][key])


def delete(key: str) -> Edit:
    return lambda state: state.__delitem__(key)


def put(key: str, tensor: Tensor) -> Edit:
    return lambda state: state.__setitem__(key, tensor)
