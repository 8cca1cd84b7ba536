"""Staying on this machine: as every distribution understands it, unless the user said otherwise."""

from __future__ import annotations

import pytest

from omnivla_vision.transport.local import VARIABLES, stay_on_this_machine


def test_both_variables_are_set() -> None:
    environment = {"HOME": "/home/robot"}
    stay_on_this_machine(environment)
    assert environment == {
        "HOME": "/home/robot",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOCALHOST_ONLY": "1",  # Humble
    }


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_users_word_counts(variable: str) -> None:
    environment = {variable: "SUBNET"}
    stay_on_this_machine(environment)
    assert environment == {variable: "SUBNET"}
