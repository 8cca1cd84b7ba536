"""What identifies weights, whatever files they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from omnivla_vision.checkpoint.stored import Source, dtype_name


def fingerprint_of(plan: Mapping[str, Source], digests: Mapping[str, bytes]) -> str:
    """SHA-256 over one line per tensor, sorted by name: name, dtype, shape, and SHA-256 of the bytes.

    Names are the network's and bytes are as the checkpoint has them (LoRA merged and rounded to the base's dtype,
    positions resampled), before any conversion: so the fingerprint depends on neither the format, nor the split into
    shards, nor the precision that was asked for.
    """
    lines = (
        f"{name} {dtype_name(plan[name].dtype)} {list(plan[name].shape)} {digests[name].hex()}\n"
        for name in sorted(plan)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
