"""Tensors that were described become tensors in memory, several at a time, each with its line of the fingerprint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import reduce

import torch
from torch import Tensor

from omnivla_vision.checkpoint.fingerprint import tensor_digest
from omnivla_vision.checkpoint.stored import Source, read_source

# Reading, hashing and checking run outside Python's lock; more threads than this only fight for memory bandwidth.
_MAX_THREADS = 4


def read_all(plan: Mapping[str, Source], dtype: torch.dtype | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and digests, by name; in `dtype`, or in the widest that the tensors come in. Raises as `read_source`."""
    if not plan:
        return {}, {}
    target = dtype or reduce(torch.promote_types, (source.dtype for source in plan.values()))
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        try:
            read = list(pool.map(lambda source: read_source(source, target), plan.values()))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # the first refusal is enough
            raise
    tensors = {name: tensor for name, (tensor, _) in zip(plan, read, strict=True)}
    return tensors, {
        name: tensor_digest(source, digest) for (name, source), (_, digest) in zip(plan.items(), read, strict=True)
    }
