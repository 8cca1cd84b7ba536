"""Preprocessing ids are in users' files: what meant something once means it for ever."""

from __future__ import annotations

import hashlib

from omnivla_vision.network.policy_presets import POLICY_PRESETS
from omnivla_vision.network.preprocessing_id import preprocessing_id
from omnivla_vision.network.presets import PRESETS

# SHA-256 over the name and id of every preset that was there before inputs could be rectangles, a line each.
OF_SQUARES = "37598b2541a46f07221d09a4d6a2382e6e6cb3fa0f779a9e37e9cc5a359d5486"


def test_the_ids_of_square_inputs_are_what_they_have_always_been() -> None:
    lines = [f"{name} {preprocessing_id(preset)}" for name, preset in PRESETS.items() if name not in POLICY_PRESETS]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == OF_SQUARES


def test_a_rectangle_has_both_sides_in_its_id() -> None:
    parts = preprocessing_id(PRESETS["citywalker-350x630"]).split("|")
    assert parts[0] == "centre:360x640:fill=0,0,0>centre:350x630:fill=0,0,0"
    assert parts[-1].startswith("dinov2:350x630:mean=0.485,")
