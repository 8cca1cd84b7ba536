"""What computed a set of tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What computed a set of tokens. `weights` is "random" or "checkpoint"; `fingerprint` identifies them."""

    preset: str
    weights: str
    fingerprint: str
    preprocessing_id: str
    engine: str
    precision: str
    notice: str
