"""What a loaded checkpoint is compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from omnivla_vision.network.backbone import backbone_shell
from test.checkpoint.writers import (
    Model,
)

NATIVE_CONFIG = {"model": {"vision_backbone_id": "dinosiglip-vit-so-224px", "image_resize_strategy": "resize-naive"}}


def assert_equal(one: dict[str, Tensor] | None, other: dict[str, Tensor] | None) -> None:
    assert one is not None
    assert other is not None
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert torch.equal(one[name], other[name]), name


def executed(model: Model) -> dict[str, Tensor]:
    """The model's own tensors under the backbone's names: what every format must give back, to the bit."""
    encoders = dict(zip((spec.name for spec in model.preset.encoders), model.encoders, strict=True))
    names = backbone_shell(model.preset).state_dict()
    return {name: encoders[name.split(".")[1]][name.split(".", 2)[2]] for name in names}
