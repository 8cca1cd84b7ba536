"""One vision transformer, with timm's parameter names, stopping at the block whose output is taken."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnivla_vision.network.rotary import Rotary
from omnivla_vision.network.spec import EncoderSpec


def quick_gelu(x: Tensor) -> Tensor:
    """OpenAI CLIP's approximation of GELU."""
    return x * torch.sigmoid(1.702 * x)


def swiglu(x: Tensor) -> Tensor:
    """SiLU of the first half of the features gates the second (`SwiGLUPacked` in timm)."""
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # exact, with erf
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
    "swiglu": swiglu,
}
# By how much an activation narrows the features.
NARROWING = {"swiglu": 2}


class PatchEmbed(nn.Module):
    """[B, 3, H, W] -> [B, patches, width], in row order."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, spec.width, spec.patch_size, stride=spec.patch_size, bias=not spec.pre_norm)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)


def split_heads(qkv: Tensor, heads: int, rotary: Rotary | None) -> tuple[Tensor, Tensor, Tensor]:
    """[B, T, 3 * width] -> queries, keys and values, [B, heads, T, width / heads]; rotary turns the first two."""
    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    split = qkv.reshape(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    query, key, value = split.unbind(0)
    if rotary is not None:
        query, key = rotary(query), rotary(key)
    return query, key, value


class Attention(nn.Module):
    """Multi-head self-attention over [B, T, width]."""

    def __init__(self, spec: EncoderSpec, rotary: Rotary | None) -> None:
        super().__init__()
        self.heads = spec.heads
        self.scale = (spec.width // spec.heads) ** -0.5
        self.rotary = rotary
        self.qkv = nn.Linear(spec.width, 3 * spec.width)
        self.proj = nn.Linear(spec.width, spec.width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        query, key, value = split_heads(self.qkv(x), self.heads, self.rotary)
        mixed = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Two linear layers with the spec's activation between them."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.fc1 = nn.Linear(spec.width, spec.mlp_width)
        self.activation = ACTIVATIONS[spec.activation]
        self.fc2 = nn.Linear(spec.mlp_width // NARROWING.get(spec.activation, 1), spec.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, spec: EncoderSpec, rotary: Rotary | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.attn = Attention(spec, rotary)
        self.ls1 = LayerScale(spec.width) if spec.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.mlp = Mlp(spec)
        self.ls2 = LayerScale(spec.width) if spec.layer_scale else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class VisionTransformer(nn.Module):
    """timm's VisionTransformer, or its Eva where positions are rotary, up to and including block `spec.block`.

    The blocks after it, the final norm (unless `spec.final_norm`) and the pooling head are never built: their output
    would be thrown away.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.patch_embed = PatchEmbed(spec)
        rotary = None if spec.rope_temperature is None else Rotary(spec)  # one for all blocks
        positions = spec.grid.tokens + (spec.prefix_tokens if spec.embed_prefix else 0)
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, spec.width)) if rotary is None else None
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.width)) if spec.class_token else None
        self.reg_token = (
            nn.Parameter(torch.zeros(1, spec.register_tokens, spec.width)) if spec.register_tokens else None
        )
        self.norm_pre = nn.LayerNorm(spec.width, eps=spec.norm_eps) if spec.pre_norm else nn.Identity()
        self.blocks = nn.Sequential(*(Block(spec, rotary) for _ in range(spec.block + 1)))
        self.norm = nn.LayerNorm(spec.width, eps=spec.norm_eps) if spec.final_norm else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] normalized image -> [B, spec.rows, width] features: class token if given, then the patches."""
        x = self.norm_pre(self._embed(self.patch_embed(image)))
        x = self.norm(self.blocks(x))
        patches = x[:, self.spec.prefix_tokens :]
        return torch.cat([x[:, :1], patches], dim=1) if self.spec.class_output else patches

    def _embed(self, patches: Tensor) -> Tensor:
        """Put the class and register tokens in front, and add positions to everything, to the patches or to nothing."""
        tokens = (self.cls_token, self.reg_token)
        prefix = [token.expand(patches.shape[0], -1, -1) for token in tokens if token is not None]
        if self.pos_embed is None:
            return torch.cat([*prefix, patches], dim=1)
        if self.spec.embed_prefix:
            return torch.cat([*prefix, patches], dim=1) + self.pos_embed
        return torch.cat([*prefix, patches + self.pos_embed], dim=1)
