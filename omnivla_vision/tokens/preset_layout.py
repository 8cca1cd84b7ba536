"""The layout of a preset's tokens: whose rows and which columns each of its outputs has."""

from __future__ import annotations

from collections.abc import Sequence

from omnivla_vision.errors import VisionError
from omnivla_vision.network.outputs import Output, Pooling, Scope
from omnivla_vision.network.spec import Preset
from omnivla_vision.tokens.layout import FUSED, GOAL, PROJECTED, OutputLayout, Segment, TokenLayout


class ProjectedOutputError(VisionError):
    """The projector takes patches' features, and an output's tokens are something else."""


def token_layout(
    preset: Preset, image_names: Sequence[str], projected_width: int | None, past: Sequence[str] = ()
) -> TokenLayout:
    """The layout of a preset's tokens.

    Args:
        preset: whose outputs they are.
        image_names: of the present images; the goal, where there is one, is GOAL.
        projected_width: features behind the projector; None: there is none.
        past: names of the past images that a history keeps, the newest first.

    Raises:
        ProjectedOutputError: the projector cannot take an output's tokens.
    """
    outputs = tuple(_output_layout(output, preset, image_names, projected_width, past) for output in preset.outputs)
    return TokenLayout(outputs=outputs, space=FUSED if projected_width is None else PROJECTED, past_names=tuple(past))


def _output_layout(
    output: Output, preset: Preset, present: Sequence[str], projected_width: int | None, past: Sequence[str]
) -> OutputLayout:
    pooling = output.pooling
    return OutputLayout(
        name=output.name,
        pooling=pooling,
        image_names=_whose(output.images, tuple(present), tuple(past)),
        grid=pooling.grid(preset.grid),
        segments=_fused(pooling, preset) if projected_width is None else _projected(output, preset, projected_width),
    )


def _whose(scope: Scope, present: tuple[str, ...], past: tuple[str, ...]) -> tuple[str, ...]:
    if scope == "present":
        return present
    if scope == "past":
        return past
    goal = present.index(GOAL) if GOAL in present else len(present)  # which stays the last
    return (*present[:goal], *past, *present[goal:])


def _fused(pooling: Pooling, preset: Preset) -> tuple[Segment, ...]:
    if pooling.kind == "class":
        return tuple(Segment(spec.name, spec.width) for spec in preset.encoders if spec.class_output)
    patches = pooling.rows * pooling.columns if pooling.kind == "shuffle" else 1
    if len(preset.encoders) == 1:
        spec = preset.encoders[0]
        return (Segment(spec.name, patches * spec.width),)
    return patches * tuple(Segment(spec.name, spec.width) for spec in preset.encoders)


def _projected(output: Output, preset: Preset, width: int) -> tuple[Segment, ...]:
    if output.pooling.kind in ("class", "shuffle"):
        raise ProjectedOutputError(
            f"found output {output.name!r} of preset {preset.name}, pooled {output.pooling}, in projected space; "
            "expected none or an average there: the projector was trained on the features of patches; choose such a "
            f"pooling, or space {FUSED}"
        )
    return (Segment("projector", width),)
