"""JSON configuration files, and the refusals of broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omnivla_vision.checkpoint.errors import CheckpointError, ConfigError
from omnivla_vision.checkpoint.lfs import refuse_pointer


def read_json(file: Path, error: type[CheckpointError] = ConfigError) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        LfsPointerError: it is git-lfs's pointer to one.
        ConfigError (or `error`): it does not parse, or is no object.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as reason:
        refuse_pointer(file)
        raise error(file, found=f"no JSON ({reason})", expected="a JSON object", advice="download it again") from reason
    if not isinstance(value, dict):
        raise error(file, found=f"a {type(value).__name__}", expected="a JSON object", advice="download it again")
    return value
