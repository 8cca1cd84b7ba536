"""How much memory this process holds, and giving back what it no longer uses."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path


def resident_bytes() -> int:
    """This process's resident set, in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def return_memory() -> None:
    """Collect garbage and hand freed memory back to the system; glibc would keep it for later use."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
