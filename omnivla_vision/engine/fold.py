"""Constants multiplied into the weights beside them: LayerScale, and the attention's 1 / sqrt(head dimension)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset
from omnivla_vision.network.vit import Attention, LayerScale


def fold(backbone: Backbone) -> Backbone:
    """The same function with fewer operations; relative difference about 5e-7 in float32.

    The result shares every tensor that folding leaves as it is.
    """
    tensors: dict[str, Tensor] = dict(backbone.state_dict())
    for name, module in backbone.named_modules():
        if isinstance(module, LayerScale):
            # ls1 follows attn.proj, ls2 follows mlp.fc2.
            linear = name.replace(".ls1", ".attn.proj").replace(".ls2", ".mlp.fc2")
            gamma = tensors.pop(f"{name}.gamma")
            tensors[f"{linear}.weight"] = tensors[f"{linear}.weight"] * gamma[:, None]
            tensors[f"{linear}.bias"] = tensors[f"{linear}.bias"] * gamma
        elif isinstance(module, Attention):
            width = module.qkv.in_features
            factors = torch.ones(3 * width)
            factors[:width] = module.scale  # the query's rows
            tensors[f"{name}.qkv.weight"] = tensors[f"{name}.qkv.weight"] * factors[:, None]
            tensors[f"{name}.qkv.bias"] = tensors[f"{name}.qkv.bias"] * factors
    folded = folded_shell(backbone.preset)
    folded.load_state_dict(tensors, assign=True)
    return folded.requires_grad_(False)


def folded_shell(preset: Preset) -> Backbone:
    """A folded backbone without memory: its parameters are on the meta device until tensors are assigned to them."""
    with torch.device("meta"):
        shell = Backbone(preset).eval()
    for module in shell.modules():
        if isinstance(module, Attention):
            module.scale = 1.0
        for name, child in list(module.named_children()):
            if isinstance(child, LayerScale):
                setattr(module, name, nn.Identity())
    return shell
