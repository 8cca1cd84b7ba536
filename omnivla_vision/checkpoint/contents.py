"""What a checkpoint holds, whatever its format: timm's parameter names, and tensors that are not read yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from omnivla_vision.checkpoint.assumed_path import AssumedPath
from omnivla_vision.checkpoint.errors import FilmError, MissingTensorError, UnexpectedTensorError
from omnivla_vision.checkpoint.stored import Source
from omnivla_vision.network.spec import Preset

T = TypeVar("T", bound=Source)

# FiLM puts a scale and a shift projection beside every block (`film_vit_wrapper.py` of OpenVLA-OFT).
_FILM = re.compile(r"blocks\.\d+\.(scale|shift)\.|film", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Configured:
    """A preset with the checkpoint's own normalization and resize, and where each came from."""

    preset: Preset
    normalization: str
    resize: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A checkpoint, described.

    Attributes:
        format: for people.
        file: what an error about the whole checkpoint names.
        encoders: timm's parameter name -> tensor, one mapping per encoder; empty if the encoders were not saved.
        prefixes: what the file puts before timm's names, per encoder.
        projector: `fc1.weight` ... -> tensor; empty if there is none.
        preset: the one that the checkpoint's configuration names, and which file said so.
        configure: puts the checkpoint's normalization and resize into a preset.
        image_path: the one that is assumed; None for the preset's.
        resample: whether position embeddings may be of another grid than the preset's.
        adapter_beside: the folder of a LoRA adapter beside shards, merged into them or not: nothing in the files tells.
    """

    format: str
    file: Path
    encoders: tuple[Mapping[str, Source], ...]
    prefixes: tuple[str, ...]
    projector: Mapping[str, Source]
    preset: Preset | None
    preset_source: str
    configure: Callable[[Preset], Configured]
    image_path: AssumedPath | None = None
    resample: bool = False
    adapter_beside: Path | None = None
    warnings: tuple[str, ...] = ()


def split_encoders(
    file: Path, tensors: Mapping[str, T], prefixes: Mapping[str, int]
) -> tuple[tuple[dict[str, T], ...], tuple[str, ...]]:
    """Sort tensors by encoder, with timm's names; `prefixes` gives each encoder's place.

    Returns:
        One mapping and one prefix per encoder that is there.

    Raises:
        FilmError: language-conditioned blocks.
        UnexpectedTensorError: a tensor of no encoder.
        MissingTensorError: only the second encoder is there.
    """
    encoders: tuple[dict[str, T], ...] = ({}, {})
    found: dict[int, str] = {}
    for key, tensor in tensors.items():
        refuse_film(file, key)
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), None)
        if prefix is None:
            raise UnexpectedTensorError(
                file,
                key=key,
                found="it",
                expected=f"names under {', '.join(prefixes)}",
                advice="it is no vision backbone of a supported format",
            )
        found[prefixes[prefix]] = prefix
        encoders[prefixes[prefix]][timm_name(key.removeprefix(prefix))] = tensor
    if list(found) == [1]:
        raise MissingTensorError(
            file,
            key=next(prefix for prefix, place in prefixes.items() if place == 0) + "*",
            found="only the second encoder",
            expected="the first one, too",
            advice="the checkpoint is incomplete",
        )
    return tuple(encoder for encoder in encoders if encoder), tuple(found[place] for place in sorted(found))


def refuse_film(file: Path, key: str, sign: re.Pattern[str] = _FILM) -> None:
    """Look at a tensor's name; `sign` is what it must not contain.

    Raises:
        FilmError: it is one of language-conditioned blocks.
    """
    if sign.search(key):
        raise FilmError(
            file,
            key=key,
            found="FiLM layers, which condition the vision on the prompt",
            expected="none",
            advice="FiLM is not supported: without the prompt the tokens would be wrong; take a checkpoint without",
        )


def timm_name(name: str) -> str:
    """What timm calls a parameter of a converted model."""
    # transformers renames parameters called gamma, so OpenVLA's converter calls LayerScale's otherwise.
    return name.removesuffix(".scale_factor") + ".gamma" if name.endswith(".scale_factor") else name
