"""Presets for tests whose point is not the depth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from omnivla_vision.network.presets import PRESETS, Preset, get_preset


def shallow(preset: str | Preset, depth: int = 3) -> Preset:
    """A preset of real widths whose encoders have only `depth` blocks, counted as timm does: one is never executed."""
    preset = get_preset(preset) if isinstance(preset, str) else preset
    return replace(preset, encoders=tuple(replace(spec, depth=depth) for spec in preset.encoders))


@contextmanager
def small_is_shallow() -> Iterator[None]:
    """Where a command of this process takes a preset by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "small", shallow("small"))
        yield
