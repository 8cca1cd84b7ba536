"""What `auto` tries on which machine, from the machine's facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from omnivla_vision.engine.choice import Facts, choices

ORIN = Facts(gpu="Orin", capability=(8, 7), tensorrt=True)
XAVIER = replace(ORIN, gpu="Xavier", capability=(7, 2))
EPYC = Facts(cpu_bfloat16=True)

TENSORRT = ["tensorrt float16", "tensorrt mixed", "tensorrt bfloat16"]
EAGER = ["eager float16", "eager mixed", "eager bfloat16", "eager float32"]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(ORIN, [*TENSORRT, *EAGER, "onednn float32"], id="orin"),
        pytest.param(replace(ORIN, tensorrt=False), [TENSORRT[0], *EAGER, "onednn float32"], id="no-torch-tensorrt"),
        pytest.param(
            XAVIER,
            [*TENSORRT[:2], "eager float16", "eager mixed", "eager float32", "onednn float32"],
            id="xavier",
        ),
        pytest.param(
            replace(ORIN, gpu="H100", cpu_bfloat16=True),
            [*TENSORRT, *EAGER, "onednn bfloat16", "onednn float32"],
            id="h100-in-a-server",
        ),
        pytest.param(EPYC, ["onednn bfloat16", "onednn float32", "eager float32"], id="epyc"),
        pytest.param(Facts(), ["onednn float32", "eager float32"], id="old-cpu"),
        # Tools for a GPU that is not there change nothing.
        pytest.param(Facts(tensorrt=True), ["onednn float32", "eager float32"], id="tools-alone"),
    ],
)
def test_the_order(facts: Facts, expected: list[str]) -> None:
    assert [f"{engine} {precision}" for engine, precision, _ in choices(facts)] == expected


def test_every_choice_says_what_speaks_for_it() -> None:
    for facts in (ORIN, EPYC, Facts()):
        assert all(reason for *_, reason in choices(facts))
