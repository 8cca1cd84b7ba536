"""The ring of past frames' tokens: what was encoded once is kept, pooled, and found again by its age."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omnivla_vision.images.raw import ImageError
from omnivla_vision.network.history import History, HistoryError

# What past frames may take at most: more, and a robot's computer swaps. 500 frames of 2x2 tokens take 12 MB.
MAX_BYTES = 2**30


class MissingStampError(ImageError):
    """An image has no stamp, and the past frames are found by their stamps."""


class HistoryMemoryError(HistoryError):
    """The past frames' tokens would take more memory than is sensible."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """The past frames of one moment, the newest first.

    Attributes:
        stamps_ns: of each; 0 where there is none (yet), or where images have no stamps.
        valid: whether there is one.
        tokens: [frames, ...] for each tensor that a frame consists of; zeros where there is none. Copies: they stay as
            they are when the ring goes on.
    """

    stamps_ns: tuple[int, ...]
    valid: tuple[bool, ...]
    tokens: tuple[Tensor, ...]


def check_memory(history: History, shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuse a history before anything is computed for it.

    Args:
        history: which frames are kept.
        shapes: of the tensors that a frame consists of.

    Raises:
        HistoryMemoryError: they would take more than MAX_BYTES.
    """
    frame_bytes = 4 * sum(math.prod(shape) for shape in shapes)
    if frame_bytes * history.kept > MAX_BYTES:
        raise HistoryMemoryError(
            f"found a history of {history.frames} frames {history.spacing} apart, for which {history.kept} of "
            f"{frame_bytes} bytes would be kept; expected {MAX_BYTES} bytes at most; pool them (history.pool), or "
            "take fewer, or closer ones"
        )


class Ring:
    """Keeps the tokens of frames that were encoded, on the CPU, where engines hand them over.

    Its memory is reserved when it is made, and does not grow beyond.

    Args:
        history: which frames will be asked for.
        shapes: of the tensors that a frame consists of.

    Raises:
        HistoryMemoryError: they would take more than MAX_BYTES.
    """

    def __init__(self, history: History, shapes: Sequence[tuple[int, ...]]) -> None:
        self._history = history
        # One slot more, of zeros, for frames that there are not.
        self._nothing = history.kept
        check_memory(history, shapes)
        self._slots = [torch.empty(history.kept + 1, *shape) for shape in shapes]
        for slots in self._slots:
            slots[self._nothing].zero_()
        self.forget()

    def forget(self) -> None:
        """Start over."""
        self._stamps_ns: list[int] = []  # of the kept frames, oldest first
        self._places: list[int] = []  # and their slots
        self._next = 0
        self._ahead: Past | None = None

    def check(self, stamp_ns: int) -> None:
        """Refuse a frame that cannot be found again, before anything is computed for it.

        Raises:
            MissingStampError: frames are to be found by their stamps, and this one has none.
        """
        if self._history.spacing.ns and not stamp_ns:
            raise MissingStampError(
                f"found an image without a stamp (0); expected one, since past frames are {self._history.spacing} "
                "apart; stamp the images, or name a spacing in frames such as 1"
            )

    def past(self, stamp_ns: int) -> Past:
        """What was seen before the frame of that stamp, which is not in the ring yet.

        A stamp that lies before that of the newest frame kept means that time started over: all are forgotten.
        """
        if stamp_ns and self._stamps_ns and stamp_ns < self._stamps_ns[-1]:
            self.forget()
        return self._found(stamp_ns) if self._ahead is None else self._ahead

    def _found(self, stamp_ns: int) -> Past:
        chosen = [self._find(index, stamp_ns) for index in range(1, self._history.frames + 1)]
        places = [self._nothing if at is None else self._places[at] for at in chosen]
        valid = tuple(place != self._nothing for place in places)
        picked = torch.tensor(places)
        return Past(
            stamps_ns=tuple(
                self._stamps_ns[at] if there and at is not None else 0 for at, there in zip(chosen, valid, strict=True)
            ),
            valid=valid,
            tokens=tuple(slots.index_select(0, picked) for slots in self._slots),
        )

    def keep(self, stamp_ns: int, tokens: Sequence[Tensor]) -> None:
        """Keep a frame, whose stamp is not before that of the last one, unless it follows it too closely.

        Of a frame whose tokens are not finite only the place is kept: its own message was refused for them, and so
        would those of all the frames that follow.
        """
        history = self._history
        if history.spacing.ns and self._stamps_ns and stamp_ns - self._stamps_ns[-1] < history.thinning:
            return
        if len(self._places) == history.kept:
            del self._stamps_ns[0], self._places[0]
        place, self._next = self._next, (self._next + 1) % history.kept
        # The extremes tell, and NaN wins over both: a tenth of the time of asking each number.
        if all(math.isfinite(extreme) for part in tokens for extreme in part.aminmax()):
            for slots, part in zip(self._slots, tokens, strict=True):
                slots[place].copy_(part)
        else:
            place = self._nothing
        self._stamps_ns.append(stamp_ns)
        self._places.append(place)
        if history.spacing.frames:  # then what the next one finds does not depend on its stamp
            self._ahead = self._found(0)

    def _find(self, index: int, now_ns: int) -> int | None:
        """Which of the kept frames is the past one of that index."""
        spacing, stamps_ns = self._history.spacing, self._stamps_ns
        if spacing.frames:
            back = index * spacing.frames
            return len(stamps_ns) - back if back <= len(stamps_ns) else None
        wanted_ns = now_ns - index * spacing.ns
        at = bisect_left(stamps_ns, wanted_ns)
        # The first one not before that moment, and the last one before it; of two equally near ones, the newer.
        near = [i for i in (at, at - 1) if 0 <= i < len(stamps_ns)]
        best = min(near, key=lambda i: abs(stamps_ns[i] - wanted_ns), default=None)
        return best if best is not None and abs(stamps_ns[best] - wanted_ns) <= self._history.tolerance else None
