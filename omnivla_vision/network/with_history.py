"""A preset with the past frames that its user asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnivla_vision.network.history import NO_HISTORY, History, HistoryError, get_spacing
from omnivla_vision.network.outputs import Output, get_pooling
from omnivla_vision.network.spec import Preset

# The output that holds past frames' tokens, where the preset's own outputs leave them out.
HISTORY = "history"
# Four tokens a frame, as OpenTrackVLA keeps its past ones.
DEFAULT_POOL = "2x2"


class PrescribedHistoryError(HistoryError):
    """A pooling is asked for past frames of a preset whose outputs say how they are pooled."""


@dataclass(frozen=True, kw_only=True)
class HistoryOptions:
    """What a user asks for.

    Attributes:
        frames: how many past frames; -1: as the preset says.
        spacing: how far apart, see `get_spacing`; empty: as the preset says, every frame where it says nothing.
        tolerance_s: see `History.tolerance_ns`; 0: half of the spacing.
        pool: of the output `history`, see `get_pooling`; empty: DEFAULT_POOL.
    """

    frames: int = -1
    spacing: str = ""
    tolerance_s: float = 0.0
    pool: str = ""


def with_history(preset: Preset, options: HistoryOptions) -> Preset:
    """The preset with these past frames, in outputs of its own where it prescribes a history, else in one more.

    With that one more, `history`, the preset's own outputs keep to the present images, as they are without a history.

    Raises:
        HistoryError: the numbers are out of range, or do not fit together.
        PrescribedHistoryError: a pooling, although the preset's outputs have theirs.
        UnknownPoolingError: the pooling's name cannot be read.
    """
    prescribed = preset.history
    if options.pool and prescribed.frames:
        raise PrescribedHistoryError(
            f"found pooling {options.pool} for past frames of preset {preset.name}; expected none, since its outputs "
            f"pool them: {', '.join(f'{output.name} {output.pooling}' for output in preset.outputs)}; leave it out"
        )
    spacing = get_spacing(options.spacing) if options.spacing else prescribed.spacing
    tolerance_ns = round(options.tolerance_s * 1e9)
    if not options.spacing and not tolerance_ns:
        tolerance_ns = prescribed.tolerance_ns
    history = History(
        frames=prescribed.frames if options.frames == -1 else options.frames,
        spacing=spacing,
        tolerance_ns=tolerance_ns,
    )
    pooling = get_pooling(options.pool or DEFAULT_POOL)
    if not history.frames:
        outputs = tuple(output for output in preset.outputs if output.images != "past")
        return replace(preset, history=NO_HISTORY, outputs=outputs)
    if prescribed.frames:
        return replace(preset, history=history)
    own = tuple(replace(output, images="present") for output in preset.outputs)
    return replace(preset, history=history, outputs=(*own, Output(HISTORY, pooling, "past")))
