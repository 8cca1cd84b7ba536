"""The tiny preset on every node: it is no preset of the package, so its options bring it along."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from omnivla_vision.loading import EncoderOptions
from omnivla_vision.network.presets import PRESETS
from test.replay.conftest import TINY


class TinyOptions(EncoderOptions):
    """Options that register the preset wherever they are unpickled."""

    def __reduce__(self) -> Any:
        return _unpickle, (asdict(self),)


def _unpickle(options: dict[str, Any]) -> EncoderOptions:
    PRESETS.setdefault(TINY.name, TINY)
    return EncoderOptions(**options)
