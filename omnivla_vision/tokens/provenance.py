"""What computed a set of tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What computed a set of tokens. `weights` is "random" or "checkpoint"; `fingerprint` identifies them, in projected
    space the projector's too, and `backbone_fingerprint` without the projector's.
    """

    preset: str
    weights: str
    fingerprint: str
    backbone_fingerprint: str
    preprocessing_id: str
    engine: str
    precision: str
    notice: str
