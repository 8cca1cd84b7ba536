"""From a fused token to the language model's width, as the policy was trained with it (`PrismaticProjector`)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Llama-2 7B, the language model of OpenVLA and OmniVLA.
LANGUAGE_WIDTH = 4096
# A pair of encoders has a first layer of four times its width, and three layers in all; one encoder has two.
FUSED_EXPANSION = 4


class Projector(nn.Module):
    """Linear layers with an exact GELU between them, applied to every token alone: [..., width] -> [..., out_width].

    Args:
        widths: the features before, between and after the layers: [2176, 8704, 4096, 4096] for `dinosiglip-224`.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.layers = len(widths) - 1
        for number, (before, after) in enumerate(pairwise(widths), start=1):
            self.add_module(f"fc{number}", nn.Linear(before, after))

    @property
    def width(self) -> int:
        """Of a token that goes in."""
        return int(self.get_submodule("fc1").get_parameter("weight").shape[1])

    @property
    def out_width(self) -> int:
        """Of a token that comes out."""
        return int(self.get_submodule(f"fc{self.layers}").get_parameter("weight").shape[0])

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, in which `forward` computes."""
        return self.get_submodule("fc1").get_parameter("weight").dtype

    def forward(self, tokens: Tensor) -> Tensor:
        """Project; computed in the weights' precision, whatever that of the tokens, and returned as float32."""
        x = tokens.to(self.dtype)
        for number in range(1, self.layers + 1):
            x = self.get_submodule(f"fc{number}")(x if number == 1 else F.gelu(x))
        return x.float()


def projector_widths(width: int, encoders: int, out_width: int = LANGUAGE_WIDTH) -> list[int]:
    """The widths of the projector behind `encoders` encoders whose tokens are `width` wide."""
    if encoders == 1:
        return [width, out_width, out_width]
    return [width, FUSED_EXPANSION * width, out_width, out_width]


def build_projector(widths: list[int]) -> Projector:
    """A projector whose parameters are uninitialized memory."""
    with torch.device("meta"):
        projector = Projector(widths)
    return projector.to_empty(device="cpu").eval().requires_grad_(False)


def load_projector(state: Mapping[str, Tensor]) -> Projector:
    """A projector of the state's own tensors, without a copy. Names `fc1.weight`, `fc1.bias`, ..."""
    weights = [state[f"fc{number}.weight"] for number in range(1, len(state) // 2 + 1)]
    with torch.device("meta"):
        projector = Projector([weights[0].shape[1], *(weight.shape[0] for weight in weights)])
    projector.load_state_dict(dict(state), assign=True)
    return projector.eval().requires_grad_(False)
