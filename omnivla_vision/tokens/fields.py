"""What every VisualTokens message of one encoder says alike, whichever library makes the message."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from omnivla_vision.tokens.layout import TokenLayout
from omnivla_vision.tokens.provenance import Provenance


def constant_fields(layout: TokenLayout, provenance: Provenance) -> dict[str, Any]:
    """Fields of msg/VisualTokens.msg by name; strings, numbers, and lists of them."""
    return {
        "image_names": list(layout.image_names),
        "tokens_per_image": layout.tokens_per_image,
        "grid_height": layout.grid.height,
        "grid_width": layout.grid.width,
        "space": layout.space,
        "segment_names": [segment.name for segment in layout.segments],
        "segment_widths": [segment.width for segment in layout.segments],
        **asdict(provenance),  # its fields are named as the message's
    }
