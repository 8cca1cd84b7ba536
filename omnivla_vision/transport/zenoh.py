"""Zenoh: TCP between processes unless shared memory was switched on, for every node and for the router."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnivla_vision.transport import json5
from omnivla_vision.transport.finding import Transport, holds

FILE_VARIABLE, OVERRIDE_VARIABLE = "ZENOH_SESSION_CONFIG_URI", "ZENOH_CONFIG_OVERRIDE"
# What rmw_zenoh itself takes for the size; it wins over the file. Deprecated since rmw_zenoh uses Zenoh's own segment.
SIZE_VARIABLE = "ZENOH_SHM_ALLOC_SIZE"
DEFAULT_FILE = "share/rmw_zenoh_cpp/config/DEFAULT_RMW_ZENOH_SESSION_CONFIG.json5"
ENABLED, POOL = "transport/shared_memory/enabled", "transport/shared_memory/transport_optimization/pool_size"
SWITCH_ON = f"{OVERRIDE_VARIABLE}='{ENABLED}=true'"
SILENT_PUBLISHER = (
    "its images may be dropped because the link is congested: Zenoh does so with best-effort messages; shared memory "
    f"({SWITCH_ON}, for every node and the router) takes load from it"
)


def examine(message_bytes: int, *, rmw: str, environment: Mapping[str, str]) -> Transport:
    """Say whether shared memory is on, and holds messages of that size; what it does not hold goes by TCP."""
    values: dict[str, object] = {
        name: environment.get(name) or "not set" for name in (FILE_VARIABLE, OVERRIDE_VARIABLE)
    }

    def finding(found: str, advice: str = "") -> Transport:
        return Transport(rmw=rmw, found=found, advice=advice, silent_publisher=SILENT_PUBLISHER, values=values)

    path = environment.get(FILE_VARIABLE) or _default_file(environment)
    try:
        settings = {
            key: _overridden(key, environment.get(OVERRIDE_VARIABLE, ""), _session_file(path))
            for key in (ENABLED, POOL)
        }
        pool = int(environment.get(SIZE_VARIABLE) or settings[POOL] or 0)
    except (OSError, ValueError, TypeError) as error:
        return finding(f"not checked: the configuration of Zenoh's session cannot be read here: {error}")
    if settings[ENABLED] is None:
        where = f"{path} does not say" if path else f"{DEFAULT_FILE} was not found in AMENT_PREFIX_PATH, which says"
        return finding(f"not checked: {where} whether Zenoh's shared memory is on; {SWITCH_ON} switches it on")
    values["shared_memory"] = "on" if settings[ENABLED] else "off"
    if not settings[ENABLED]:
        return finding(
            f"Zenoh's shared memory is off: images and tokens go by TCP, which costs time; {SWITCH_ON} switches it on, "
            "for every node and the router"
        )
    values["pool_bytes"] = pool or "Zenoh's own"
    if not pool:
        return finding("Zenoh's shared memory is on, with a pool of Zenoh's own size")
    found = f"Zenoh's shared memory is on; {holds('its pool', pool, message_bytes)}"
    # rmw_zenoh's issue 828: at least twice what is under way, or messages go by TCP, later.
    if pool >= 2 * message_bytes:
        return finding(found)
    return finding(f"{found}: it should hold two, or they go by TCP", f"set {POOL} to {2 * message_bytes} or more")


def _default_file(environment: Mapping[str, str]) -> str:
    prefixes = environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    candidates = (Path(prefix) / DEFAULT_FILE for prefix in prefixes if prefix)
    return next((str(path) for path in candidates if path.is_file()), "")


def _session_file(path: str) -> Any:
    return json5.loads(Path(path).read_text()) if path else {}


def _overridden(key: str, overrides: str, settings: Any) -> Any:
    """A setting by its path, from ZENOH_CONFIG_OVERRIDE's key=value;key=value if it is there, or else from the file."""
    value = _at(key, settings)
    for pair in overrides.split(";"):
        name, _, text = pair.partition("=")
        name = name.strip()
        if name == key or key.startswith(f"{name}/"):
            value = _at(key[len(name) :], json5.loads(text))
    return value


def _at(path: str, settings: Any) -> Any:
    for name in filter(None, path.split("/")):
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings
