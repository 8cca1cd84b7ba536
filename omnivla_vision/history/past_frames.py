"""What an encoder remembers of the frames before the present one, for those of its outputs that hold past frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from torch import Tensor

from omnivla_vision.history.ring import Past, Ring
from omnivla_vision.network.spec import Preset


def kept_shapes(preset: Preset, shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Those of the outputs that hold past frames, of one shape for each of the preset's outputs."""
    return [shape for shape, output in zip(shapes, preset.outputs, strict=True) if output.images != "present"]


class PastFrames:
    """What an encoder remembers of the frames before the present one.

    Args:
        preset: whose outputs of scope `past` and `all` hold past frames, as many as its history says.
        shapes: of a frame's tokens, [rows, width] for each of the preset's outputs.

    Raises:
        HistoryMemoryError: they would take too much memory.
    """

    def __init__(self, preset: Preset, shapes: Sequence[tuple[int, ...]]) -> None:
        self.frames = preset.history.frames
        self._outputs = [output.images != "present" for output in preset.outputs]
        self._ring = Ring(preset.history, kept_shapes(preset, shapes))
        self._sizes: tuple[tuple[int, ...], ...] = ()

    def forget(self) -> None:
        """Start over."""
        self._ring.forget()

    def check(self, stamp_ns: int) -> None:
        """Refuse a frame that could not be found again; see `Ring.check`."""
        if self.frames:
            self._ring.check(stamp_ns)

    def step(self, tokens: Sequence[Tensor], stamp_ns: int, sizes: Sequence[tuple[int, ...]]) -> Past:
        """What was before the present frame, which is kept for those that follow.

        Images of another size than the last ones start over: it may be another camera, or another part of the view.

        Args:
            tokens: of the present frame, [rows, width] for each of the preset's outputs.
            stamp_ns: its stamp.
            sizes: of its images.

        Returns:
            Tokens [frames * rows, width], the newest first, for each output; none of outputs without past images.
        """
        if self._sizes != tuple(sizes):
            self.forget()
            self._sizes = tuple(sizes)
        if not self.frames:
            return Past(stamps_ns=(), valid=(), tokens=tuple(part[:0] for part in tokens))
        past = self._ring.past(stamp_ns)
        self._ring.keep(stamp_ns, list(compress(tokens, self._outputs)))
        found = iter(past.tokens)
        blocks = (
            next(found).flatten(0, 1) if holds else part[:0] for part, holds in zip(tokens, self._outputs, strict=True)
        )
        return replace(past, tokens=tuple(blocks))
