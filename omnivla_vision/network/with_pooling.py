"""A preset with the pooling that its user asks for."""

from __future__ import annotations

from dataclasses import replace

from omnivla_vision.errors import VisionError
from omnivla_vision.network.outputs import WHOLE_GRID, get_pooling
from omnivla_vision.network.spec import Preset


class PrescribedOutputsError(VisionError):
    """A pooling is asked for, of a preset that says itself how its outputs are pooled."""


def with_pooling(preset: Preset, pool: str) -> Preset:
    """The preset with its patches pooled like this, see `get_pooling`; empty: as the preset says.

    Raises:
        UnknownPoolingError: the pooling's name cannot be read.
        PrescribedOutputsError: the preset prescribes its outputs.
        PoolingError: its grid does not pool like this.
        ClassTokenError: none of its encoders gives its class token.
    """
    if not pool:
        return preset
    pooling = get_pooling(pool)
    if preset.outputs != WHOLE_GRID:
        raise PrescribedOutputsError(
            f"found pooling {pool} for preset {preset.name}; expected none, since its outputs are prescribed: "
            f"{', '.join(f'{output.name} {output.pooling}' for output in preset.outputs)}; leave it out, or choose a "
            "preset that leaves it open"
        )
    return replace(preset, outputs=(replace(WHOLE_GRID[0], pooling=pooling),))
