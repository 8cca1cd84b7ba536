"""DINOv3 in timm is its class Eva: what of that class `vit` computes, and under which names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import nn

Shape = tuple[int, ...]


def not_dinov3(timm: Any, model: Any) -> Iterator[str]:
    """What of an Eva is otherwise than in DINOv3; nothing if `vit` computes it."""
    block, rope = model.blocks[0], model.rope
    if type(rope) is not timm.layers.RotaryEmbeddingDinoV3:
        yield f"class Eva with positions of class {type(rope).__name__}"
        return
    turned = (rope.normalize_coords, rope.grid_indexing, rope.grid_offset, rope.rotate_half, rope.min_period)
    if turned != ("separate", "ij", 0.0, True, None) or not block.attn.rotate_half:
        yield f"rotary positions {turned}"
    if type(block).__name__ != "EvaBlock" or type(block.attn).__name__ != "EvaAttention":
        yield f"blocks of class {type(block).__name__} with {type(block.attn).__name__}"
    elif block.attn.qkv is None or block.attn.gate is not None:
        yield "attention with separate projections, or a gate"
    if type(block.mlp).__name__ == "SwiGLU" and type(block.mlp.act).__name__ != "SiLU":
        yield f"a gated MLP with {type(block.mlp.act).__name__}"


def eva_numbers(model: Any) -> dict[str, Any]:
    """The numbers of `EncoderSpec` that an Eva has elsewhere than a plain vision transformer."""
    mlp = model.blocks[0].mlp
    gated = type(mlp).__name__ == "SwiGLU"
    return {
        "mlp_width": 2 * mlp.fc1_g.out_features if gated else mlp.fc1.out_features,
        "register_tokens": model.num_prefix_tokens - (model.cls_token is not None),
        "layer_scale": model.blocks[0].gamma_1 is not None,
        "embed_prefix": False,
        "rope_temperature": model.rope.temperature,
    }


def eva_shapes(model: nn.Module) -> dict[str, Shape]:
    """The shapes of its parameters as `vit` has them: the gated MLP's layers as one; q, k and v always with a bias."""
    shapes: dict[str, Shape] = {}
    for key, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        name = re.sub(r"\.gamma_([12])$", r".ls\1.gamma", key)
        if ".fc1_g." in name:
            shapes[name.replace(".fc1_g.", ".fc1.")] = (2 * shape[0], *shape[1:])
        elif ".fc1_x." not in name and not name.endswith((".q_bias", ".v_bias")):
            shapes[name] = shape
        if name.endswith(".qkv.weight"):
            shapes[name.replace(".weight", ".bias")] = shape[:1]
    return shapes
