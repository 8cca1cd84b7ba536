"""Settings of Linux's network stack."""

from __future__ import annotations

from pathlib import Path


def setting(name: str) -> int | None:
    """A sysctl's value, e.g. of "net.core.rmem_max" (bytes); None where the system has none of that name."""
    path = Path("/proc/sys") / name.replace(".", "/")
    return int(path.read_text()) if path.exists() else None
