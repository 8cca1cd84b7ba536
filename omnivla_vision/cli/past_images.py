"""`--past A B C`: the frames before the current image, as files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omnivla_vision.cli.paths import path
from omnivla_vision.errors import VisionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from omnivla_vision.loading import LoadedEncoder
    from omnivla_vision.network.history import History


class PastImagesError(VisionError):
    """Past images are given that have no place, or that would be taken for another view's."""


def add_past_option(parser: argparse._ActionsContainer) -> None:
    """Declare --past."""
    parser.add_argument(
        "--past",
        type=path,
        nargs="+",
        default=[],
        metavar="P",
        help="the frames before the current image, oldest first; with --history-frames, or a preset that takes some",
    )


def check_past(files: Sequence[Path], past: Sequence[NDArray[np.uint8]], images: Sequence[NDArray[np.uint8]]) -> None:
    """Refuse images that cannot be the past of the current one.

    Raises:
        PastImagesError: there are several cameras, or an image has another size than the current one.
    """
    if past and len(images) > 1:
        raise PastImagesError(
            f"found --past with {len(images)} images; expected one, since files do not say whose past they are; encode "
            "one camera at a time"
        )
    for file, image in zip(files, past, strict=True):
        if image.shape != images[0].shape:
            found, expected = (f"{width}x{height}" for height, width, _ in (image.shape, images[0].shape))
            raise PastImagesError(
                f"found {file} of {found}; expected {expected} as the current image, since another size starts a "
                "history over; leave it out, or scale it"
            )


def encode_past(loaded: LoadedEncoder, past: Sequence[NDArray[np.uint8]]) -> None:
    """Encode as many of the past images as the history looks back.

    Raises:
        PastImagesError: the encoder has no history.
        MissingStampError: its history is one in seconds, and files have no stamps.
    """
    encoder = loaded.encoder
    if past and not encoder.preset.history.frames:
        raise PastImagesError(
            f"found --past for preset {encoder.preset.name}, which takes no past frames; expected one that does; add "
            f"--history-frames {len(past)}"
        )
    for image in past[-encoder.preset.history.kept :]:
        encoder.encode(image)


def named_past(history: History, past: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
    """Those of the past images that a history in frames finds, under their names, the newest first."""
    found = list(reversed(past))[history.spacing.frames - 1 :: history.spacing.frames]
    return dict(zip(history.names, found))  # noqa: B905 - either may be the longer one
