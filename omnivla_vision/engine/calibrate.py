"""The int8 weights of a network: smoothed on the fixed images, layer by layer, and measured while that is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from omnivla_vision.engine.packed_int8 import Int8Weights, PackedInt8Linear
from omnivla_vision.engine.parity_images import parity_images
from omnivla_vision.engine.smoothing import GELU_FLOOR, loud_channels, smooth
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.vit import Block, VisionTransformer, swiglu

# The largest error of a layer's output that int8 may make: root mean square, by that of what varies between tokens.
# Every layer of the small pair, of plain and of realistic weights, makes 0.007 to 0.013.
KEEP_ABOVE = 0.05
# Above it, what a hidden unit always is gets subtracted before the MLP's second layer: a pass over all of them.
CENTRE_ABOVE = 0.02


class Calibration:
    """Runs the fixed images through a folded float32 backbone once, and decides about each linear layer on the way.

    Attributes:
        tensors: what to store, by name; the backbone's own stay as they are.
        kept: the layers that stay out of int8, by name, with the error that int8 would make.
    """

    def __init__(self, backbone: Backbone, kept_dtype: torch.dtype) -> None:
        self.kept: dict[str, float] = {}
        self.tensors = dict(backbone.state_dict())
        self._dtype = kept_dtype
        handles = [
            handle
            for name, encoder in backbone.encoders.items()
            for index, block in enumerate(cast(VisionTransformer, encoder).blocks)
            for handle in self._watch(cast(Block, block), f"encoders.{name}.blocks.{index}")
        ]
        try:
            with torch.no_grad():
                backbone(*Preprocessor(backbone.preset)(list(parity_images())))
        finally:
            for handle in handles:
                handle.remove()

    def _watch(self, block: Block, path: str) -> Iterator[RemovableHandle]:
        """See the inputs of a block's four layers, [images, tokens, in], in the order in which they are computed."""
        gated = block.mlp.activation is swiglu
        turned = block.attn.rotary is not None
        yield block.attn.qkv.register_forward_pre_hook(lambda _, x: self._qkv(x[0].flatten(0, 1), path, turned))
        yield block.attn.proj.register_forward_pre_hook(lambda _, x: self._proj(x[0].flatten(0, 1), path))
        yield block.mlp.fc1.register_forward_pre_hook(lambda _, x: self._fc1(x[0].flatten(0, 1), path))
        yield block.mlp.fc2.register_forward_pre_hook(lambda _, x: self._fc2(x[0].flatten(0, 1), path, gated))

    def _qkv(self, x: Tensor, path: str, turned: bool) -> None:
        """A bias of the keys changes nothing, unless they are turned by place; that of the values passes to `proj`."""
        x, weight, bias, apart = self._smooth(x, f"{path}.norm1", f"{path}.attn.qkv")
        query, key, self._value_bias = bias.chunk(3)
        kept = torch.cat([query, key if turned else torch.zeros_like(key), torch.zeros_like(key)])
        self._store(f"{path}.attn.qkv", x, weight, kept, apart)

    def _proj(self, x: Tensor, path: str) -> None:
        weight, bias = self._layer(f"{path}.attn.proj")
        x = x - self._value_bias
        self._store(f"{path}.attn.proj", x, weight, bias + weight @ self._value_bias, loud_channels(x))

    def _fc1(self, x: Tensor, path: str) -> None:
        self._store(f"{path}.mlp.fc1", *self._smooth(x, f"{path}.norm2", f"{path}.mlp.fc1"))

    def _fc2(self, x: Tensor, path: str, gated: bool) -> None:
        layer = f"{path}.mlp.fc2"
        weight, bias = self._layer(layer)
        floored = Int8Weights.of(weight, bias, apart=loud_channels(x), floor=GELU_FLOOR)
        if not gated and _error(floored, x, weight, bias) <= CENTRE_ABOVE:
            self._replace(layer, floored)
        else:
            centre = x.median(dim=0).values
            self._store(layer, x, weight, bias, loud_channels(x - centre), centre)

    def _smooth(self, x: Tensor, norm: str, layer: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Change a LayerNorm. Returns the inputs, weight, bias and channels apart of the layer after it."""
        weight, bias = self._layer(layer)
        smoothing = smooth(x, weight)
        self.tensors[f"{norm}.weight"] = self.tensors[f"{norm}.weight"] / smoothing.factor
        self.tensors[f"{norm}.bias"] = smoothing.inputs(self.tensors[f"{norm}.bias"])
        return smoothing.inputs(x), weight * smoothing.factor, bias + weight @ smoothing.centre, smoothing.apart

    def _layer(self, name: str) -> tuple[Tensor, Tensor]:
        return self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]

    def _store(
        self, name: str, x: Tensor, weight: Tensor, bias: Tensor, apart: Tensor, centre: Tensor | None = None
    ) -> None:
        """In int8, unless what that makes of `x`, [tokens, in], is too far from the float32 layer's output."""
        int8 = Int8Weights.of(weight, bias, apart=apart, centre=centre)
        error = _error(int8, x, weight, bias)
        if error <= KEEP_ABOVE:  # NaN is not
            self._replace(name, int8)
        else:
            self.kept[name] = round(error, 4)
            self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"] = (t.to(self._dtype) for t in (weight, bias))

    def _replace(self, name: str, int8: Int8Weights) -> None:
        del self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        self.tensors.update({f"{name}.{part}": tensor for part, tensor in vars(int8).items()})


def _error(int8: Int8Weights, x: Tensor, weight: Tensor, bias: Tensor) -> float:
    """Of a layer's output in int8, root mean square, by that of what varies in it from token to token."""
    expected = F.linear(x, weight, bias)
    difference = PackedInt8Linear(int8, len(x))(x.clone()) - expected
    varying = expected - expected.mean(dim=0)
    return (difference.square().mean() / varying.square().mean()).sqrt().item()
