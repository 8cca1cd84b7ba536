"""One vision transformer, with timm's parameter names, stopping at the block whose output is taken."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnivla_vision.presets import EncoderSpec

# timm's VisionTransformer default; the same in DINOv2 and SigLIP.
LAYER_NORM_EPS = 1e-6


class PatchEmbed(nn.Module):
    """[B, 3, S, S] -> [B, grid * grid, width], patches in row order."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, spec.width, kernel_size=spec.patch_size, stride=spec.patch_size)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention over [B, T, width]."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.heads = spec.heads
        self.scale = (spec.width // spec.heads) ** -0.5
        self.qkv = nn.Linear(spec.width, 3 * spec.width)
        self.proj = nn.Linear(spec.width, spec.width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between them."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.fc1 = nn.Linear(spec.width, spec.mlp_width)
        self.fc2 = nn.Linear(spec.mlp_width, spec.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(spec.width, eps=LAYER_NORM_EPS)
        self.attn = Attention(spec)
        self.ls1 = LayerScale(spec.width) if spec.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(spec.width, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(spec)
        self.ls2 = LayerScale(spec.width) if spec.layer_scale else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class VisionTransformer(nn.Module):
    """timm's VisionTransformer up to and including block `spec.block`, before any final norm.

    The blocks after it, the final norm and the pooling head are never built: their output would be thrown away.
    Positions are added to the patches before the class and register tokens are put in front (`no_embed_class` in timm).
    """

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.patch_embed = PatchEmbed(spec)
        self.pos_embed = nn.Parameter(torch.zeros(1, spec.grid**2, spec.width))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.width)) if spec.class_token else None
        self.reg_token = (
            nn.Parameter(torch.zeros(1, spec.register_tokens, spec.width)) if spec.register_tokens else None
        )
        self.blocks = nn.Sequential(*(Block(spec) for _ in range(spec.block + 1)))

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, S, S] normalized image -> [B, grid * grid, width] patch features."""
        x = self.patch_embed(image) + self.pos_embed
        prefix = [token.expand(x.shape[0], -1, -1) for token in (self.cls_token, self.reg_token) if token is not None]
        x = self.blocks(torch.cat([*prefix, x], dim=1))
        return x[:, self.spec.prefix_tokens :]
