"""Models to write checkpoints from, shared because making them takes longer than writing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # without torch, the tests are skipped
    from test.checkpoint.writers import Model


@pytest.fixture(scope="session")
def openvla_model() -> Model:
    """OmniVLA's encoders at full width, two blocks deep, in bfloat16."""
    from test.checkpoint.writers import make_model
    from test.presets import shallow

    return make_model(shallow("dinosiglip-224", depth=2))


@pytest.fixture(scope="session")
def small_model() -> Model:
    """The small pair, two blocks deep, in bfloat16."""
    from test.checkpoint.writers import make_model
    from test.presets import shallow

    return make_model(shallow("small", depth=2))
