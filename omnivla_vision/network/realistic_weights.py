"""Random weights with the statistics of real vision transformers: outliers where real ones have them, and no meaning.

Plain random weights are benign: every channel has about the same spread and no token stands out, so that an engine
which breaks on real weights passes on them. Each oddity here is reported of released networks, and can be set alone.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.random_weights import fill_random
from omnivla_vision.network.vit import Block, LayerScale, VisionTransformer


@dataclass(frozen=True, kw_only=True)
class Oddities:
    """What real networks have and plain random ones lack, with its strength; the defaults change nothing.

    Attributes:
        norm_factor: by how much some channels of every LayerNorm's output are larger than the others. The linear layer
            that follows divides by it, so that the function stays the same in exact arithmetic. 10 to 100 times are
            reported for ViT, DeiT and Swin (RepQ-ViT, arXiv 2212.08254; FQ-ViT, 2111.13824; SmoothQuant, 2211.10438).
        norm_share: of the channels, at least one; about 1 % (the same).
        massive: a constant on one channel of the residual stream, in units of about the median activation, which is
            near 1 with these weights. Hundreds to thousands are reported (Massive Activations, arXiv 2402.17762).
        massive_tokens: which tokens have it: "all", or "few": class and register tokens and three patches (none where
            positions are rotary: there is nothing that one patch has and others lack). With registers it is mostly
            they (Vision Transformers Need Registers, arXiv 2309.16588; 2510.04547 for SigLIP).
        hidden_factor: by how much some hidden units of every MLP are larger after the activation (PTQ4ViT, arXiv
            2111.12293; 2510.04547). The second layer divides by it; the function changes a little, because GELU is not
            linear.
        hidden_share: of the hidden units, at least one.
        layer_scale_decades: LayerScale factors are log-uniform over so many powers of ten up to 1; 0 leaves them. Those
            of the released DINOv2 checkpoints lie between 1e-5 and above 1.
    """

    norm_factor: float = 1.0
    norm_share: float = 0.01
    massive: float = 0.0
    massive_tokens: Literal["all", "few"] = "all"
    hidden_factor: float = 1.0
    hidden_share: float = 0.005
    layer_scale_decades: float = 0.0


NO_ODDITIES = Oddities()
# What `--weights realistic` means: the middle of what is reported, all at once.
REALISTIC = Oddities(norm_factor=20.0, massive=300.0, hidden_factor=10.0, layer_scale_decades=5.0)
MASSIVE_PATCHES = 3


def fill_realistic(backbone: Backbone, *, seed: int, oddities: Oddities = REALISTIC) -> None:
    """Overwrite every parameter of `backbone` in place: plain random values, then the oddities."""
    fill_random(backbone, seed=seed)
    with torch.no_grad():
        for name, encoder in backbone.encoders.items():
            _Encoder(cast(VisionTransformer, encoder), f"{seed}:{name}", oddities).change()


class _Encoder:
    """One encoder to be changed; `salt` chooses which of its channels stand out."""

    def __init__(self, encoder: VisionTransformer, salt: str, oddities: Oddities) -> None:
        self._encoder = encoder
        self._salt = salt
        self._oddities = oddities

    def change(self) -> None:
        odd = self._oddities
        if odd.massive:
            self._add_massive_channel()
        for index, block in enumerate(self._encoder.blocks):
            block = cast(Block, block)
            if odd.layer_scale_decades:
                for name, scale in (("ls1", block.ls1), ("ls2", block.ls2)):
                    self._spread(scale, f"{index}.{name}")
            if odd.norm_factor != 1:
                channels = self._pick(f"{index}.norm", self._encoder.spec.width, odd.norm_share)
                for norm, linear in ((block.norm1, block.attn.qkv), (block.norm2, block.mlp.fc1)):
                    norm.weight[channels] *= odd.norm_factor
                    norm.bias[channels] *= odd.norm_factor
                    linear.weight[:, channels] /= odd.norm_factor
            if odd.hidden_factor != 1:
                self._enlarge_hidden(block, index)

    def _add_massive_channel(self) -> None:
        encoder, value = self._encoder, self._oddities.massive
        channel = self._pick("massive", encoder.spec.width, 0)
        for token in (encoder.cls_token, encoder.reg_token):
            if token is not None:
                token[..., channel] += value
        if encoder.pos_embed is None:
            if self._oddities.massive_tokens == "all":
                cast(Tensor, encoder.patch_embed.proj.bias)[channel] += value
        elif self._oddities.massive_tokens == "all":
            encoder.pos_embed[..., channel] += value
        else:
            prefix = encoder.spec.prefix_tokens if encoder.spec.embed_prefix else 0
            patches = self._pick("patches", encoder.spec.grid.tokens, MASSIVE_PATCHES / encoder.spec.grid.tokens)
            encoder.pos_embed[:, prefix + patches, channel] += value

    def _enlarge_hidden(self, block: Block, index: int) -> None:
        """The units of a gated MLP are those of its value half, which is linear."""
        width = block.mlp.fc2.in_features
        units = self._pick(f"{index}.hidden", width, self._oddities.hidden_share)
        rows = units + (block.mlp.fc1.out_features - width)
        factor = self._oddities.hidden_factor
        block.mlp.fc1.weight[rows] *= factor
        block.mlp.fc1.bias[rows] *= factor
        block.mlp.fc2.weight[:, units] /= factor

    def _spread(self, scale: nn.Module, name: str) -> None:
        if isinstance(scale, LayerScale):
            lowest = -self._oddities.layer_scale_decades * math.log(10)
            scale.gamma.uniform_(lowest, 0, generator=self._generator(name)).exp_()

    def _pick(self, name: str, of: int, share: float) -> Tensor:
        """Indices of at least one of `of`."""
        return torch.randperm(of, generator=self._generator(name))[: max(1, round(share * of))]

    def _generator(self, name: str) -> torch.Generator:
        digest = hashlib.sha256(f"{self._salt}:{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def describe(oddities: Oddities) -> str:
    """The strengths that are not the plain ones, for a fingerprint."""
    plain = asdict(NO_ODDITIES)
    return ", ".join(f"{name} {value}" for name, value in asdict(oddities).items() if value != plain[name]) or "plain"
