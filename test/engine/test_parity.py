"""The gate lets the network through on any weights, and nothing that computes something else."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from omnivla_vision.engine import onednn, parity
from omnivla_vision.engine.base import EngineSpec
from omnivla_vision.engine.eager import EagerEngine
from omnivla_vision.engine.fold import fold
from omnivla_vision.engine.graph import typed_graph
from omnivla_vision.engine.limits import ALLOWANCES, limits
from omnivla_vision.engine.parity import Judged, ParityError
from omnivla_vision.engine.parity_images import ALL_IMAGES, START_IMAGES
from omnivla_vision.engine.reference import Array, Reference, compute_reference
from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.presets import Preset
from omnivla_vision.network.realistic_weights import fill_realistic
from omnivla_vision.tokens.difference import Difference

from .mistakes import WEIGHTS, Mistake, mistakes, wrong_network

REGISTER = "a register dropped"
EVERY_MISTAKE = {mistake.name: mistake for precision in ALLOWANCES for mistake in mistakes(precision)}.values()
# Those in which the two blocks of the network see the registers at all: where every token has the same massive channel,
# the registers are like all the others, and one of them more or less changes the sixth digit.
REGISTERS_SEEN = ("plain", "massive 1000, few tokens", "realistic")


@pytest.fixture(scope="module", params=WEIGHTS)
def odd(request: pytest.FixtureRequest, preset: Preset) -> tuple[str, Backbone, Reference]:
    """A network with one kind of weights, by its name."""
    backbone = build_backbone(preset)
    fill_realistic(backbone, seed=0, oddities=WEIGHTS[request.param])
    return request.param, backbone, compute_reference(backbone)


def engine_of(backbone: Backbone, precision: str = "float32") -> tuple[EagerEngine, EngineSpec]:
    spec = EngineSpec(preset=backbone.preset, precision=precision)
    return EagerEngine(backbone, spec), spec


def tokens_of(backbone: Backbone) -> list[Array]:
    return parity.features(*engine_of(backbone), ALL_IMAGES)


def differences(mistake: Mistake, backbone: Backbone, reference: Reference) -> tuple[Difference, ...]:
    """How far a mistake's tokens are, if everything else is exact; of the encoders that it concerns."""
    tokens = mistake.tokens(tokens_of(wrong_network(mistake, backbone)), backbone.preset)
    return reference.compare(tokens, ALL_IMAGES)


def test_every_mistake_is_refused_on_all_weights_at_every_precision(odd: tuple[str, Backbone, Reference]) -> None:
    weights, backbone, reference = odd
    for mistake in EVERY_MISTAKE:
        found = differences(mistake, backbone, reference)
        for precision in ALLOWANCES:
            if mistake.name == REGISTER or mistake.name not in {entry.name for entry in mistakes(precision)}:
                continue
            for result in parity.judge(found, precision, reference):
                assert result.excess > 1.5, (weights, precision, mistake.name, str(result))


def test_a_dropped_register_is_refused_where_the_network_looks_at_it(odd: tuple[str, Backbone, Reference]) -> None:
    """One of four whose content is random changes less than bfloat16 loses: seen in float32 and float16 only."""
    weights, backbone, reference = odd
    if weights not in REGISTERS_SEEN:
        pytest.skip("the network does not look at its registers")
    (mistake,) = (entry for entry in EVERY_MISTAKE if entry.name == REGISTER)
    found = differences(mistake, backbone, reference)
    assert parity.judge(found, "float32", reference)[0].excess > 1


def test_every_right_engine_passes_on_all_weights(odd: tuple[str, Backbone, Reference]) -> None:
    weights, backbone, reference = odd
    folded = fold(backbone)
    for precision in ("bfloat16", "mixed"):  # by torch's own operations
        spec = EngineSpec(preset=backbone.preset, precision=precision)
        graph = typed_graph(copy.deepcopy(folded), spec)
        with torch.inference_mode():
            tokens = parity.features(lambda batch, run=graph: run(*batch), spec, START_IMAGES)
        for result in parity.judge(reference.compare(tokens, START_IMAGES), precision, reference):
            assert result.excess <= 1, (weights, precision, str(result))


@pytest.mark.parametrize("precision", onednn.PRECISIONS)
def test_onednn_passes_on_all_weights(odd: tuple[str, Backbone, Reference], precision: str, tmp_path) -> None:
    weights, backbone, reference = odd
    if onednn.missing(precision):
        pytest.skip(onednn.missing(precision))
    spec = EngineSpec(preset=backbone.preset, precision=precision)
    onednn.build(fold(backbone), spec, tmp_path)
    for result in parity.check(onednn.load(tmp_path, spec), spec, reference, ALL_IMAGES):
        assert result.excess <= 1, (weights, str(result))


def overflow(backbone: Backbone) -> None:
    """The numbers of a float16 engine whose MLP passes 65504: infinities become NaN in the next normalization."""

    class Float16(nn.Module):
        def __init__(self, mlp: nn.Module) -> None:
            super().__init__()
            self.mlp = mlp

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.mlp(x) * 1e6).half().float() / 1e6

    block = backbone.encoders["dinov2"].blocks[0]
    block.mlp = Float16(block.mlp)


@pytest.mark.parametrize("precision", ALLOWANCES)
def test_overflow_is_refused_whatever_is_tolerated(precision: str, backbone: Backbone, reference: Reference) -> None:
    broken = copy.deepcopy(backbone)
    overflow(broken)
    engine, _ = engine_of(broken)
    spec = EngineSpec(preset=backbone.preset, precision=precision)
    for tolerance in (100.0, float("inf")):
        with pytest.raises(ParityError, match="dinov2: NaN or infinite values"):
            parity.check(engine, spec, reference, START_IMAGES, tolerance=tolerance)


def test_the_message_holds_numbers_and_limits(backbone: Backbone, reference: Reference) -> None:
    broken = copy.deepcopy(backbone)
    broken.encoders["siglip"].blocks[0].mlp.fc2.bias.data.zero_()
    with pytest.raises(ParityError) as caught:
        parity.check(*engine_of(broken), reference, START_IMAGES)
    message = str(caught.value)
    # The broken encoder's distance, how far over its limits it is, and the whole one's.
    assert "siglip: token cosine min 0." in message
    assert "times over the limits (token cosine min " in message
    assert "dinov2: token cosine min 1.0000000" in message
    assert "raise gate.tolerance" in message
    assert [result.difference.encoder for result in caught.value.results] == ["dinov2", "siglip"]


def test_the_network_passes_in_its_own_precision_only(backbone: Backbone, reference: Reference) -> None:
    results = parity.check(*engine_of(backbone), reference, ALL_IMAGES)
    assert all(result.difference.relative_l2 == 0 for result in results)
    half = copy.deepcopy(backbone).to(torch.bfloat16)
    parity.check(*engine_of(half, "bfloat16"), reference, ALL_IMAGES)
    with pytest.raises(ParityError):
        parity.check(*engine_of(half, "float32"), reference, ALL_IMAGES)


def test_a_user_may_accept_more_and_everybody_is_told(backbone: Backbone, reference: Reference) -> None:
    """What is over its limits passes up to the tolerance, not beyond, and is named."""
    half = copy.deepcopy(backbone).to(torch.bfloat16)
    engine, spec = engine_of(half, "float16")  # judged by float16's limits, which it does not keep to
    with pytest.raises(ParityError) as caught:
        parity.check(engine, spec, reference, START_IMAGES)
    excess = max(result.excess for result in caught.value.results)
    assert 1 < excess < 10
    with pytest.raises(ParityError, match=r"expected at most 1\.\d+ times the limits"):
        parity.check(engine, spec, reference, START_IMAGES, tolerance=(1 + excess) / 2)
    results = parity.check(engine, spec, reference, START_IMAGES, tolerance=10.0)
    sentence = parity.accepted(results, 10.0)
    assert sentence.startswith("accepted with gate.tolerance 10: ")
    assert "times over the limits" in sentence
    assert parity.accepted(parity.check(*engine_of(backbone), reference, START_IMAGES), 10.0) == ""


def test_limits_follow_from_the_loss_of_plain_bfloat16(backbone: Backbone, reference: Reference) -> None:
    """That loss is what torch's own bfloat16 loses, to a tenth: the arithmetic that stands for it is the same."""
    half = copy.deepcopy(backbone).to(torch.bfloat16)
    tokens = tokens_of(half)
    for real, expected in zip(reference.compare(tokens, ALL_IMAGES), reference.bfloat16, strict=True):
        assert real.relative_l2 == pytest.approx(expected.relative_l2, rel=0.1)
        assert 1 - real.cosine_mean == pytest.approx(1 - expected.cosine_mean, rel=0.2)
        assert limits("bfloat16", expected).relative_l2 == pytest.approx(1.5 * expected.relative_l2)
        worse = dataclasses.replace(expected, relative_l2=9.0, cosine_min=-1.0, cosine_mean=0.0)
        assert limits("int8", worse).relative_l2 < 0.5


def test_a_subset_of_the_images_is_never_judged_harder(backbone: Backbone, reference: Reference) -> None:
    """The limits come from all images, and a start looks at two."""
    tokens = tokens_of(copy.deepcopy(backbone).to(torch.bfloat16))
    some = [part[list(START_IMAGES)] for part in tokens]
    for whole, part in zip(reference.compare(tokens, ALL_IMAGES), reference.compare(some, START_IMAGES), strict=True):
        assert part.relative_l2 <= whole.relative_l2
        assert part.channel <= whole.channel
        assert part.cosine_min >= whole.cosine_min
        assert part.spread <= whole.spread


def test_a_reference_is_read_back_as_it_was_written(reference: Reference, tmp_path) -> None:
    reference.save(tmp_path)
    again = Reference.load(tmp_path)
    assert all(map(np.array_equal, again.tokens, reference.tokens))
    assert again.bfloat16 == reference.bfloat16
    for ours, theirs in zip(again.channels, reference.channels, strict=True):
        for field in dataclasses.fields(ours):
            assert np.array_equal(getattr(ours, field.name), getattr(theirs, field.name))


def test_batches_larger_than_the_set_are_filled_up(backbone: Backbone, preset: Preset, reference: Reference) -> None:
    spec = EngineSpec(preset=preset, precision="float32", images=2)
    shapes: list[int] = []

    class Counting(EagerEngine):
        def __call__(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            shapes.append(len(inputs[0]))
            return super().__call__(inputs)

    parity.check(Counting(backbone, spec), spec, reference, ALL_IMAGES)
    assert shapes == [2, 2, 2]  # five images


@pytest.mark.parametrize("worse", [
    {"cosine_min": 0.7}, {"cosine_mean": 0.9}, {"relative_l2": 0.5}, {"channel": 7.0}, {"spread": 0.03},
    {"relative_l2": float("nan")}, {"cosine_min": float("nan")}, {"channel": float("inf")},
])  # fmt: skip
def test_each_number_alone_is_enough_to_refuse(worse: dict[str, float], reference: Reference) -> None:
    good = Difference(encoder="a", cosine_min=1.0, cosine_mean=1.0, relative_l2=0.0, channel=0.0, spread=0.0)
    for precision in ALLOWANCES:
        allowed = limits(precision, reference.bfloat16[0])
        assert Judged(difference=good, limits=allowed).excess == 0
        assert not Judged(difference=dataclasses.replace(good, **worse), limits=allowed).excess <= 1
