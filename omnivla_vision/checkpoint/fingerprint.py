"""What identifies weights, whatever files they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from omnivla_vision.checkpoint.stored import Source, dtype_name


def tensor_digest(source: Source, content: bytes) -> str:
    """A tensor's line: dtype, shape, and the SHA-256 of its bytes.

    They are the checkpoint's own (LoRA merged and rounded to the base's dtype, positions resampled), before any
    conversion: so the fingerprint does not depend on the precision that was asked for.
    """
    return f"{dtype_name(source.dtype)} {list(source.shape)} {content.hex()}"


def fingerprint_of(digests: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, over one line per tensor, sorted by name.

    Names are the network's: so the fingerprint depends neither on the format nor on the split into shards.
    """
    lines = (f"{name} {digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
