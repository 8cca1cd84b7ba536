"""The reference engine: the network as it is written, in float32."""

from __future__ import annotations

import torch
from torch import Tensor

from omnivla_vision.backbone import Backbone


class EagerEngine:
    """Runs the backbone without compiling it, on the device where its weights are."""

    name = "eager"
    precision = "float32"
    notice = ""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._device = next(backbone.parameters()).device

    def __call__(self, stacks: tuple[Tensor, ...]) -> Tensor:
        with torch.inference_mode():
            return self._backbone(*(stack.to(self._device) for stack in stacks))
