"""Mixed precision: matrix products in float16, and everything between them in float32.

float16 ends at 65504 and rounds to 11 bits. A massive activation (Massive Activations, arXiv 2402.17762) squares past
that end inside a LayerNorm, and its channel alone swamps a residual stream of 11 bits. With the stream, the norms and
the softmax in float32, what the products see has been normalized: at most sqrt(width) times the norm's own weights.
The casts are in the graph, because a strongly typed TensorRT network has no others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.vit import Attention, split_heads


class Product(nn.Module):
    """A linear layer or convolution in float16, whatever it is given; its result is float16, or `result`.

    What a block adds to the residual stream becomes float32 in the addition itself, by torch's promotion of types: a
    cast of its own would be one more pass over memory where no compiler fuses the two.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, result: torch.dtype = torch.float16) -> None:
        super().__init__()
        self.layer = layer.half()
        self.result = result

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.half()).to(self.result)


class SpelledAttention(nn.Module):
    """A folded `vit.Attention` in single steps, with the softmax in float32.

    For compilers that take scaled_dot_product_attention apart in its own dtype, as torch-tensorrt 2.8 does. Torch's
    own kernels for it keep scores and softmax in float32 and never write them to memory: there it stays whole.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads, self.rotary = attention.heads, attention.rotary
        self.qkv, self.proj = attention.qkv, attention.proj

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        query, key, value = split_heads(self.qkv(x), self.heads, self.rotary)
        weights = torch.softmax((query @ key.transpose(-2, -1)).float(), dim=-1)
        return self.proj((weights.to(value.dtype) @ value).transpose(1, 2).reshape(batch, tokens, width))


def mixed(backbone: Backbone, *, spelled: bool = False) -> Backbone:
    """Rewrite a folded float32 backbone in place, weights of the products in float16, and return it.

    The features inside an MLP stay float16 between its layers: they are the widest tensor, and the first layer's input
    is a norm's output, so that they end at sqrt(width) * |norm.weight * row| + |bias|. GELU makes nothing larger; the
    product of a gated MLP might, which the gate would see.

    Args:
        backbone: its layers, or those of a shell on the meta device.
        spelled: attention in single steps.
    """
    for module in reversed(list(backbone.modules())):  # a layer before the attention that holds it
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Product(child))
            elif isinstance(child, nn.Conv2d):
                setattr(module, name, Product(child, torch.float32))  # goes into the residual stream
            elif isinstance(child, Attention) and spelled:
                setattr(module, name, SpelledAttention(child))
    return backbone
