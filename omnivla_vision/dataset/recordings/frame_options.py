"""What becomes rows of recordings that are no bags: folders of pictures, and LeRobot datasets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.dataset.recordings.jpeg import kept_jpeg
from omnivla_vision.dataset.recordings.row_options import RowOptions
from omnivla_vision.dataset.recordings.sampling import Sampler
from omnivla_vision.images.compressed import CompressedImage
from omnivla_vision.images.stamps import NS_PER_S

# The stamp of a recording's beginning, whose own time nobody knows: a stamp of 0 would say that there is none.
BEGINNING_NS = NS_PER_S


@dataclass(frozen=True, kw_only=True)
class FrameOptions(RowOptions):
    """What becomes rows.

    Attributes:
        frame_rate: of folders of pictures, Hz; None: nobody knows, and their rows have no stamps.
    """

    frame_rate: float | None = None

    def picture(self, content: bytes) -> tuple[NDArray[np.uint8], bytes | None]:
        """Decode a picture's file: RGB, uint8 [H, W, 3], and the JPEG to keep, if pictures are kept.

        Raises:
            ImageError: see `CompressedImage.rgb`.
        """
        rgb = CompressedImage(data=content, max_pixels=self.max_pixels).rgb()
        return rgb, kept_jpeg(content, rgb) if self.images else None


class Window:
    """Passes the frames of one camera that become rows, by their stamps from `BEGINNING_NS` on; 0 passes, too."""

    def __init__(self, options: FrameOptions) -> None:
        self._sampler = Sampler(options.every_ns)
        self._start_ns = BEGINNING_NS + round(options.start_s * NS_PER_S)
        self._stop_ns = None if options.duration_s is None else self._start_ns + round(options.duration_s * NS_PER_S)

    def holds(self, stamp_ns: int) -> bool:
        """Whether it lies between start and end."""
        return not stamp_ns or (self._start_ns <= stamp_ns and (self._stop_ns is None or stamp_ns < self._stop_ns))

    def wants(self, stamp_ns: int) -> bool:
        """Whether it becomes a row; asked once for each frame, in order."""
        return self.holds(stamp_ns) and self._sampler.wants(stamp_ns)
