"""A policy with the interface of OmniVLA's own code, and its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from test.presets import small_is_shallow

if TYPE_CHECKING:
    from omnivla_vision.encoder import VisionEncoder


@pytest.fixture(scope="package", autouse=True)
def shallow_small() -> Iterator[None]:
    """The depth is not the point."""
    with small_is_shallow():
        yield


@pytest.fixture(scope="package")
def checkpoint(shallow_small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy's folder, in bfloat16."""
    from test.policy.folder import write_policy

    return write_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="package")
def encoder(checkpoint: Path) -> VisionEncoder:
    """What the node runs on that folder."""
    from test.policy.folder import encoder_of

    return encoder_of(checkpoint)
