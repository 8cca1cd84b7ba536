"""The encoders of a preset as one network: channels split, each encoder given its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omnivla_vision.network.spec import Preset
from omnivla_vision.network.vit import VisionTransformer


class Backbone(nn.Module):
    """One instance of each encoder; every image passes through the same weights."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset.network
        self.encoders = nn.ModuleDict({spec.name: VisionTransformer(spec) for spec in preset.encoders})

    def forward(self, *stacks: Tensor) -> tuple[Tensor, ...]:
        """Encode a batch of images.

        Args:
            stacks: one [B, 3 * encoders, H, W] tensor per `preset.inputs`, each encoder's normalization in its own
                three channels, in the preset's order.

        Returns:
            [B, rows, width] features of each encoder, in the preset's order; `features.fuse` puts them side by side.
        """
        features = []
        for stack, inputs in zip(stacks, self.preset.inputs, strict=True):
            for image, spec in zip(stack.split(3, dim=1), inputs.encoders, strict=True):
                features.append(self.encoders[spec.name](image))
        return tuple(features)


def backbone_shell(preset: Preset) -> Backbone:
    """A backbone without memory: its parameters are on the meta device until tensors are assigned to them."""
    with torch.device("meta"):
        return Backbone(preset).eval().requires_grad_(False)


def build_backbone(preset: Preset) -> Backbone:
    """A backbone whose parameters are uninitialized memory, to be filled from a checkpoint or at random."""
    backbone = backbone_shell(preset)
    # Not Module.to_empty: it loads torch's symbolic half, 40 MB that no one needs here.
    memory = {name: torch.empty(tensor.shape) for name, tensor in backbone.state_dict().items()}
    backbone.load_state_dict(memory, assign=True)
    return backbone.requires_grad_(False)
