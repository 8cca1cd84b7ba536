"""The node, loading a network in a call of C that never comes back, as a compiler's may not for minutes."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.ros.node import main
from omnivla_vision.ros.settings import VisionParameters


def load(settings: VisionParameters, logger: Any) -> VisionEncoder:
    """Lock a mutex twice: unlike a sleep, that is not interrupted by signals, and needs no processor."""
    mutex = ctypes.create_string_buffer(256)  # zeros are PTHREAD_MUTEX_INITIALIZER
    libc = ctypes.CDLL(None)
    libc.pthread_mutex_lock(mutex)
    logger.info("entering C")
    libc.pthread_mutex_lock(mutex)
    raise AssertionError("never reached")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], load))
