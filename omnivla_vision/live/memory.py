"""How much memory this process holds, and giving back what it no longer uses."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path

# mallopt(3), the numbers are those of glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def resident_bytes() -> int:
    """This process's resident set, in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def use_one_heap() -> None:
    """Have all threads allocate from one heap; to be called before they start.

    By itself glibc gives threads heaps of their own, and never returns the end of any of those to the system.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def keep_freed_memory(keep: bool) -> None:
    """Let glibc keep freed buffers, of up to 8 MiB each and 16 MiB in a row, for the next frame; or no longer.

    A frame and its tokens pass through a dozen buffers of 1 to 4 MB. By itself glibc returns them to the system each
    time and has the kernel map and clear new ones: half of the node's CPU time (benchmarks/node_overhead.py).
    """
    with suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 8 << 20 if keep else 128 << 10)
        library.mallopt(_TRIM_THRESHOLD, 16 << 20 if keep else 128 << 10)


def return_memory() -> None:
    """Collect garbage and hand freed memory back to the system; glibc and MKL would keep it for later use."""
    gc.collect()
    with suppress(OSError, AttributeError):  # a torch without MKL, or none loaded
        ctypes.CDLL("libtorch_cpu.so", mode=os.RTLD_NOW | os.RTLD_NOLOAD).mkl_serv_free_buffers()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
