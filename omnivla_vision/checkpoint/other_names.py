"""Encoders under other names than the network's: timm's Eva (DINOv3), and transformers' DINOv3 and SigLIP."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from omnivla_vision.checkpoint.errors import MissingTensorError
from omnivla_vision.checkpoint.joined import JoinedTensor, Zeros, join
from omnivla_vision.checkpoint.stored import Source, StoredTensor

_QKV = ("q", "k", "v")
_QKV_WEIGHT = ".attn.qkv.weight"


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How files of one kind call the parameters.

    Attributes:
        sign: a name that every such file has, and no other.
        prefixes: what may stand before every name, the longest first; what has none of them is not the encoder's.
        renamed: a pattern of theirs -> the network's name.
        joined: a pattern of theirs -> the network's name, the number of this part, and of how many.
        unread: a pattern of what is beside the encoder, or for training alone.
        optional_bias: a bias of q, k or v may be missing in all blocks, and is zero then.
    """

    sign: str
    prefixes: tuple[str, ...] = ("",)
    renamed: Mapping[str, str]
    joined: Mapping[str, tuple[str, int, int]]
    unread: str = r"(?!)"
    optional_bias: bool = False

    def rename(self, name: str) -> str:
        """The network's name of a tensor that is one there too; theirs if it has none."""
        for pattern, target in self.renamed.items():
            if match := re.fullmatch(pattern, name):
                return match.expand(target)
        return name

    def part(self, name: str) -> tuple[str, int, int] | None:
        """The network's name of what the tensor is a part of, which part, and of how many; None if it is whole."""
        for pattern, (target, number, count) in self.joined.items():
            if match := re.fullmatch(pattern, name):
                return match.expand(target), number, count
        return None


def _parts(pattern: str, target: str, names: tuple[str, ...]) -> dict[str, tuple[str, int, int]]:
    return {pattern.replace("PART", name): (target, number, len(names)) for number, name in enumerate(names)}


_BLOCK = r"blocks\.(\d+)\."
_LAYER = r"layer\.(\d+)\."
_LAYERS = r"encoder\.layers\.(\d+)\."

EVA = Naming(
    sign="blocks.0.gamma_1",
    renamed={_BLOCK + r"gamma_([12])": r"blocks.\1.ls\2.gamma"},
    joined={
        **_parts(_BLOCK + r"attn\.PART_bias", r"blocks.\1.attn.qkv.bias", _QKV),
        **_parts(_BLOCK + r"mlp\.fc1_PART\.(weight|bias)", r"blocks.\1.mlp.fc1.\2", ("g", "x")),
    },
    optional_bias=True,
)
DINOV3 = Naming(
    sign="layer.0.layer_scale1.lambda1",
    prefixes=("model.", ""),
    renamed={
        r"embeddings\.cls_token": "cls_token",
        r"embeddings\.register_tokens": "reg_token",
        r"embeddings\.patch_embeddings\.(weight|bias)": r"patch_embed.proj.\1",
        _LAYER + r"norm([12])\.(weight|bias)": r"blocks.\1.norm\2.\3",
        _LAYER + r"layer_scale([12])\.lambda1": r"blocks.\1.ls\2.gamma",
        _LAYER + r"attention\.o_proj\.(weight|bias)": r"blocks.\1.attn.proj.\2",
        _LAYER + r"mlp\.up_proj\.(weight|bias)": r"blocks.\1.mlp.fc1.\2",
        _LAYER + r"mlp\.down_proj\.(weight|bias)": r"blocks.\1.mlp.fc2.\2",
    },
    joined=_parts(_LAYER + r"attention\.PART_proj\.(weight|bias)", r"blocks.\1.attn.qkv.\2", _QKV),
    unread=r"embeddings\.mask_token",
    optional_bias=True,
)
GATED_DINOV3 = replace(
    DINOV3,
    sign="layer.0.mlp.gate_proj.weight",
    joined={
        **DINOV3.joined,
        **_parts(_LAYER + r"mlp\.PART_proj\.(weight|bias)", r"blocks.\1.mlp.fc1.\2", ("gate", "up")),
    },
)
SIGLIP = Naming(
    sign="embeddings.position_embedding.weight",
    prefixes=("vision_model.", ""),
    renamed={
        r"embeddings\.patch_embedding\.(weight|bias)": r"patch_embed.proj.\1",
        r"embeddings\.position_embedding\.weight": "pos_embed",
        _LAYERS + r"layer_norm([12])\.(weight|bias)": r"blocks.\1.norm\2.\3",
        _LAYERS + r"self_attn\.out_proj\.(weight|bias)": r"blocks.\1.attn.proj.\2",
        _LAYERS + r"mlp\.fc([12])\.(weight|bias)": r"blocks.\1.mlp.fc\2.\3",
        r"post_layernorm\.(weight|bias)": r"norm.\1",
    },
    joined=_parts(_LAYERS + r"self_attn\.PART_proj\.(weight|bias)", r"blocks.\1.attn.qkv.\2", _QKV),
    unread=r"(text_model\.|head\.|logit_scale$|logit_bias$).*",
)
NAMINGS = (EVA, GATED_DINOV3, DINOV3, SIGLIP)


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
        if re.match(naming.unread, name):
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
    return {**named, **{name: _joined(name, there, counts.get(name, len(_QKV))) for name, there in parts.items()}}


def _add_zeros(named: Mapping[str, StoredTensor], parts: dict[str, dict[int, StoredTensor | Zeros]]) -> None:
    """The biases of q, k or v that no block has, in the number format of the weight beside them."""
    weights = {name: tensor for name, tensor in named.items() if name.endswith(_QKV_WEIGHT)}
    for name, there in parts.items():
        if name.endswith(_QKV_WEIGHT):
            weights[name] = next(part for part in there.values() if isinstance(part, StoredTensor))
    biases = {name.replace(".weight", ".bias"): weight for name, weight in weights.items()}
    absent = [number for number in range(len(_QKV)) if not any(number in parts.get(bias, {}) for bias in biases)]
    for bias, weight in biases.items():
        rows = weight.shape[0] // (len(_QKV) if bias.replace(".bias", ".weight") in named else 1) if weight.shape else 0
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
