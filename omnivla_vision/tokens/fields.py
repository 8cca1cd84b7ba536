"""What every VisualTokens message of one encoder says alike, whichever library makes the message."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from omnivla_vision.tokens.layout import OutputLayout, TokenLayout
from omnivla_vision.tokens.provenance import Provenance

# What msg/VisualTokens.msg says of the first output itself, and msg/TokenOutput.msg of each.
_SHARED = ("image_names", "tokens_per_image", "grid_height", "grid_width", "segment_names", "segment_widths")


def constant_fields(layout: TokenLayout, provenance: Provenance) -> dict[str, Any]:
    """Fields of msg/VisualTokens.msg by name: strings, numbers, lists of them, and `outputs`, the fields of a
    TokenOutput for each.
    """
    outputs = [_output_fields(output) for output in layout.outputs]
    return {
        **{name: outputs[0][name] for name in _SHARED},
        "space": layout.space,
        "past_image_names": list(layout.past_names),
        "outputs": outputs,
        **asdict(provenance),  # its fields are named as the message's
    }


def _output_fields(output: OutputLayout) -> dict[str, Any]:
    return {
        "name": output.name,
        "pooling": str(output.pooling),
        "image_names": list(output.image_names),
        "tokens_per_image": output.tokens_per_image,
        "grid_height": output.grid.height,
        "grid_width": output.grid.width,
        "segment_names": [segment.name for segment in output.segments],
        "segment_widths": [segment.width for segment in output.segments],
    }
