"""Whether what broke a build may be gone at the next try."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

import torch

from omnivla_vision.engine.store_folder import DISK_FULL
from omnivla_vision.process import signals

_ERRNOS = DISK_FULL | {errno.ENOMEM, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EMFILE, errno.ENFILE}
# How those say it that have no exception of their own for it: torch, CUDA and its libraries, TensorRT, C++; and gcc,
# when the kernel's out-of-memory killer met its compiler.
_WORDS = re.compile(
    r"out.?of.?memory|not enough memory|insufficient memory|bad_alloc|alloc(ation)?_?\s?failed"
    r"|(can't|cannot|could not|unable to) (be )?allocate|no space left|disk quota"
    r"|busy or unavailable|resource busy|killed signal|SIGKILL|SIGTERM|SIGINT",
    re.IGNORECASE,
)


def is_passing(error: BaseException) -> bool:
    """Whether an error comes of what may be otherwise in a minute: memory, disk, a busy device, a signal to end.

    Args:
        error: looked at together with what it was raised from.
    """
    return bool(signals.came()) or any(map(_is_passing, _chain(error)))


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, InterruptedError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    return _WORDS.search(str(error)) is not None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
