"""Encoders under other names than the network's, given its names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import replace

from omnivla_vision.checkpoint.errors import MissingTensorError
from omnivla_vision.checkpoint.joined import JoinedTensor, Zeros, join
from omnivla_vision.checkpoint.namings import EVA, NAMINGS, QKV, SIGLIP, Naming
from omnivla_vision.checkpoint.stored import Source, StoredTensor

_QKV_WEIGHT = ".attn.qkv.weight"


def naming_of(names: Container[str]) -> tuple[Naming, str] | None:
    """Which naming a file has, and the prefix before it; None for timm's plain names, and for all others."""
    for naming in NAMINGS:
        for prefix in naming.prefixes:
            if prefix + naming.sign in names:
                return naming, prefix
    return None


def is_of_transformers(names: Container[str]) -> bool:
    """Whether transformers wrote the file."""
    found = naming_of(names)
    return found is not None and found[0] is not EVA


def network_names(tensors: Mapping[str, StoredTensor]) -> dict[str, Source]:
    """A file's tensors by the network's names; in a file of no naming, and where it has none, theirs stay.

    Raises:
        MissingTensorError: of several tensors that are one in the network, one is missing.
        ShapeMismatchError: they do not fit beside each other.
    """
    found = naming_of(tensors)
    if found is None:
        return dict(tensors)
    naming, prefix = found
    named: dict[str, StoredTensor] = {}
    parts: defaultdict[str, dict[int, StoredTensor | Zeros]] = defaultdict(dict)
    counts: dict[str, int] = {}
    for key, tensor in tensors.items():
        name = key.removeprefix(prefix)
        if re.match(naming.unread, name) or (naming.of_many and not key.startswith(prefix)):
            continue
        if part := naming.part(name):
            target, number, counts[target] = part
            parts[target][number] = tensor
        elif name == SIGLIP.sign:
            named["pos_embed"] = replace(tensor, shape=(1, *tensor.shape))
        else:
            named[naming.rename(name)] = tensor
    if naming.optional_bias:
        _add_zeros(named, parts)
    return {**named, **{name: _joined(name, there, counts.get(name, len(QKV))) for name, there in parts.items()}}


def _add_zeros(named: Mapping[str, StoredTensor], parts: dict[str, dict[int, StoredTensor | Zeros]]) -> None:
    """The biases of q, k or v that no block has, in the number format of the weight beside them."""
    weights = {name: tensor for name, tensor in named.items() if name.endswith(_QKV_WEIGHT)}
    for name, there in parts.items():
        if name.endswith(_QKV_WEIGHT):
            weights[name] = next(part for part in there.values() if isinstance(part, StoredTensor))
    biases = {name.replace(".weight", ".bias"): weight for name, weight in weights.items()}
    absent = [number for number in range(len(QKV)) if not any(number in parts.get(bias, {}) for bias in biases)]
    for bias, weight in biases.items():
        rows = weight.shape[0] // (len(QKV) if bias.replace(".bias", ".weight") in named else 1) if weight.shape else 0
        parts.setdefault(bias, {}).update({number: Zeros(like=weight, count=rows) for number in absent})


def _joined(name: str, there: Mapping[int, StoredTensor | Zeros], count: int) -> JoinedTensor:
    if len(there) < count:
        part = next(iter(there.values()))
        raise MissingTensorError(
            part.file,
            key=part.key,
            found=f"it, and {count - len(there)} missing beside it",
            expected=f"{count} tensors, which are {name} in the network",
            advice="the checkpoint is incomplete",
        )
    return join(tuple(there[number] for number in range(count)))
