"""What the command line offers without importing torch is what there is."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from omnivla_vision import weights
from omnivla_vision.cli import numbers, options
from omnivla_vision.engine import base, start
from omnivla_vision.errors import VisionError
from omnivla_vision.ros.settings import VisionParameters


def test_the_lists_are_those_of_the_engines_and_weights() -> None:
    assert ("auto", *start.ENGINES) == options.ENGINES
    assert ("auto", *base.PRECISIONS) == options.PRECISIONS
    assert options.DISTRIBUTIONS == weights.DISTRIBUTIONS


def test_the_node_tolerates_as_much_as_the_command_line() -> None:
    tolerance = VisionParameters.__dataclass_fields__["gate_tolerance"].metadata["range"]
    assert tolerance == (1.0, numbers.MAX_TOLERANCE)


def test_an_unknown_distribution_is_refused_with_the_known_ones() -> None:
    with pytest.raises(VisionError, match="distribution of random weights 'real'; expected one of plain, realistic"):
        weights.open_weights(distribution="real")
