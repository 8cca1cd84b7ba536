"""OmniVLA's pair of architectures at a few kilobytes: one block that runs and one that does not, pixels in pairs."""

from __future__ import annotations

from dataclasses import replace

from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.presets import Preset, get_preset

TINY = Preset(
    name="tiny",
    encoders=tuple(
        replace(spec, image_size=ImageSize.square(4), patch_size=2, width=8, heads=2, mlp_width=16, depth=2)
        for spec in get_preset("small").encoders
    ),
)
