"""How files call an encoder's parameters where not as the network does: timm's Eva (DINOv3), and transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

QKV = ("q", "k", "v")


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
        of_many: files hold other models beside it, all under prefixes of their own.
    """

    sign: str
    prefixes: tuple[str, ...] = ("",)
    renamed: Mapping[str, str]
    joined: Mapping[str, tuple[str, int, int]]
    unread: str = r"(?!)"
    optional_bias: bool = False
    of_many: bool = False

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
_DEEP_LAYER = r"encoder\.layer\.(\d+)\."
_LAYERS = r"encoder\.layers\.(\d+)\."

EVA = Naming(
    sign="blocks.0.gamma_1",
    renamed={_BLOCK + r"gamma_([12])": r"blocks.\1.ls\2.gamma"},
    joined={
        **_parts(_BLOCK + r"attn\.PART_bias", r"blocks.\1.attn.qkv.bias", QKV),
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
    joined=_parts(_LAYER + r"attention\.PART_proj\.(weight|bias)", r"blocks.\1.attn.qkv.\2", QKV),
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
# In memory and in files, q, k and v and a gated MLP are called differently. With registers, the class token's position
# is apart from the token, where the network has their sum: such files are not read.
DINOV2 = Naming(
    sign="encoder.layer.0.layer_scale1.lambda1",
    prefixes=("dinov2.", ""),
    renamed={
        r"embeddings\.cls_token": "cls_token",
        r"embeddings\.position_embeddings": "pos_embed",
        r"embeddings\.patch_embeddings\.projection\.(weight|bias)": r"patch_embed.proj.\1",
        _DEEP_LAYER + r"norm([12])\.(weight|bias)": r"blocks.\1.norm\2.\3",
        _DEEP_LAYER + r"layer_scale([12])\.lambda1": r"blocks.\1.ls\2.gamma",
        _DEEP_LAYER + r"attention\.(?:output\.dense|o_proj)\.(weight|bias)": r"blocks.\1.attn.proj.\2",
        _DEEP_LAYER + r"mlp\.(?:fc1|weights_in)\.(weight|bias)": r"blocks.\1.mlp.fc1.\2",
        _DEEP_LAYER + r"mlp\.(?:fc2|weights_out|down_proj)\.(weight|bias)": r"blocks.\1.mlp.fc2.\2",
        r"layernorm\.(weight|bias)": r"norm.\1",
    },
    joined={
        **_parts(_DEEP_LAYER + r"attention\.PART_proj\.(weight|bias)", r"blocks.\1.attn.qkv.\2", QKV),
        **_parts(
            _DEEP_LAYER + r"attention\.attention\.PART\.(weight|bias)",
            r"blocks.\1.attn.qkv.\2",
            ("query", "key", "value"),
        ),
        **_parts(_DEEP_LAYER + r"mlp\.PART_proj\.(weight|bias)", r"blocks.\1.mlp.fc1.\2", ("gate", "up")),
    },
    unread=r"embeddings\.mask_token",
)
# Alone, in SigLIP and SmolVLM, in models of LLaVA's kin, and in SmolVLA's file.
SIGLIP = Naming(
    sign="embeddings.position_embedding.weight",
    prefixes=(
        "model.vlm_with_expert.vlm.model.vision_model.",
        "model.vision_tower.vision_model.",
        "vision_tower.vision_model.",
        "model.vision_model.",
        "vision_model.",
        "",
    ),
    renamed={
        r"embeddings\.patch_embedding\.(weight|bias)": r"patch_embed.proj.\1",
        r"embeddings\.position_embedding\.weight": "pos_embed",
        _LAYERS + r"layer_norm([12])\.(weight|bias)": r"blocks.\1.norm\2.\3",
        _LAYERS + r"self_attn\.out_proj\.(weight|bias)": r"blocks.\1.attn.proj.\2",
        _LAYERS + r"mlp\.fc([12])\.(weight|bias)": r"blocks.\1.mlp.fc\2.\3",
        r"post_layernorm\.(weight|bias)": r"norm.\1",
    },
    joined=_parts(_LAYERS + r"self_attn\.PART_proj\.(weight|bias)", r"blocks.\1.attn.qkv.\2", QKV),
    unread=r"head\..*",
    of_many=True,
)
NAMINGS = (EVA, GATED_DINOV3, DINOV3, DINOV2, SIGLIP)
