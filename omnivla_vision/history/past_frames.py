"""What an encoder remembers of the frames before the present one, for those of its outputs that hold past frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

import torch
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
        self._none = torch.empty(0, 0)

    def forget(self) -> None:
        """Start over."""
        self._ring.forget()

    def check(self, stamp_ns: int) -> None:
        """Refuse a frame that could not be found again; see `Ring.check`."""
        if self.frames:
            self._ring.check(stamp_ns)

    def find(self, stamp_ns: int, sizes: Sequence[tuple[int, ...]]) -> Past:
        """What was before the present frame.

        Images of another size than the last ones start over: it may be another camera, or another part of the view.

        Args:
            stamp_ns: of the present frame.
            sizes: of its images.

        Returns:
            Tokens [frames * rows, width], the newest first, for each output; none of outputs without past images.
        """
        if self._sizes != tuple(sizes):
            self.forget()
            self._sizes = tuple(sizes)
        if not self.frames:
            return Past(stamps_ns=(), valid=(), tokens=(self._none,) * len(self._outputs))
        past = self._ring.past(stamp_ns)
        found = iter(past.tokens)
        blocks = (next(found).flatten(0, 1) if holds else self._none for holds in self._outputs)
        return replace(past, tokens=tuple(blocks))

    def keep(self, stamp_ns: int, tokens: Sequence[Tensor]) -> None:
        """Keep a frame for those that follow: [rows, width] for each of the preset's outputs."""
        if self.frames:
            self._ring.keep(stamp_ns, list(compress(tokens, self._outputs)))
