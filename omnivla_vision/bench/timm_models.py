"""The reference path: timm's own models, run as OpenVLA's public code runs them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from omnivla_vision.network.presets import Preset


class TimmPair:
    """timm's models of a preset with random weights, float32. Every block runs, also the one whose output is unused."""

    def __init__(self, preset: Preset) -> None:
        timm = import_timm()
        self._preset = preset
        self._models: dict[str, Any] = {
            spec.name: timm.create_model(
                spec.timm_id.split(".")[0],
                pretrained=False,
                num_classes=0,
                img_size=tuple(spec.image_size),
                depth=spec.depth,
            ).eval()
            for spec in preset.encoders
        }

    def to(self, device: str, dtype: torch.dtype) -> TimmPair:
        """Move and cast the models, as OpenVLA does to bfloat16; the stacks must follow."""
        for model in self._models.values():
            model.to(device, dtype)
        return self

    def __call__(self, *stacks: Tensor) -> tuple[Tensor, ...]:
        """One stack per input size -> [B, patches, width] of each encoder."""
        features = []
        with torch.inference_mode():
            for stack, inputs in zip(stacks, self._preset.inputs, strict=True):
                for image, spec in zip(stack.split(3, dim=1), inputs.encoders, strict=True):
                    features.append(_features(self._models[spec.name], image, spec.block))
        return tuple(features)


def _features(model: Any, image: Tensor, block: int) -> Tensor:
    """[B, patches, width]: the call of OpenVLA's code, or the only one that DINOv3's class has."""
    if hasattr(model, "get_intermediate_layers"):
        return model.get_intermediate_layers(image, n={block})[0]
    return model.forward_intermediates(image, indices=[block], output_fmt="NLC", intermediates_only=True)[0]


def import_timm() -> Any:
    """timm, also beside a torch for CPUs, where torchvision's compiled operators are missing and its import fails.

    Raises:
        ImportError: timm or torchvision is not installed.
    """
    try:
        import timm
    except RuntimeError:  # operator torchvision::nms does not exist
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import timm

        setattr(timm, "torchvision_operators", library)  # noqa: B010 - an unreferenced library takes its operators along
    return timm
