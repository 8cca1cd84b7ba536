"""Memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Give back what glibc keeps between blocks that are in use; nothing with another C library.

    Where one thread allocates megabytes that another one frees, the heaps grow though nothing leaks: by 25 kB for each
    frame of a dataset. Takes a few milliseconds.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
