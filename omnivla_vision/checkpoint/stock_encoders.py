"""Stock encoders for a checkpoint that was trained with frozen ones and does not hold them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from omnivla_vision.checkpoint.contents import Contents
from omnivla_vision.checkpoint.detect import open_checkpoint
from omnivla_vision.checkpoint.errors import MissingEncodersError


def with_encoders(contents: Contents, encoder_weights: str | Path | None) -> Contents:
    """Put the encoders of `encoder_weights` (as `open_checkpoint` takes it) before the checkpoint's projector.

    Raises:
        MissingEncodersError: nobody said where they are.
        CheckpointError: any of the refusals of their format.
    """
    if encoder_weights is None:
        stock = contents.preset.name if contents.preset is not None else "PRESET"
        raise MissingEncodersError(
            contents.file,
            key="vision_backbone",
            found="no vision weights: the encoders were frozen in training",
            expected="stock weights beside it",
            advice=f"say where they are: --encoder-weights hub:{stock}, or local .safetensors files",
        )
    stock_contents = open_checkpoint(encoder_weights)
    preset = contents.preset or stock_contents.preset
    return replace(
        stock_contents,
        image_path=contents.image_path,
        format=f"{contents.format}, with encoders of {stock_contents.format}",
        projector=contents.projector,
        preset=preset,
        preset_source=contents.preset_source or stock_contents.preset_source,
        configure=contents.configure,
        warnings=(*contents.warnings, *stock_contents.warnings),
    )
