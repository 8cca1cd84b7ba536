from __future__ import annotations

import subprocess
import sys

import pytest

# Blocks of a size that glibc keeps in its heap, with one in use behind each.
CODE = """
from pathlib import Path
from omnivla_vision.process.heap import trim

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

blocks = [(bytearray(100_000), bytearray(5000)) for _ in range(2000)]
kept = [small for _, small in blocks]
del blocks
before = resident_mb()
trim()
print(before - resident_mb())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_freed_memory_goes_back() -> None:
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60)
    assert float(result.stdout) > 100
