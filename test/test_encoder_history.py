"""Past frames through the encoder: their tokens are those that the same images had when they were the present ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch
from torch import Tensor

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.history.ring import HistoryMemoryError, MissingStampError
from omnivla_vision.loading import EncoderOptions, encoder_of
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.features import pool
from omnivla_vision.network.history import History
from omnivla_vision.network.outputs import Output, get_pooling
from omnivla_vision.tokens.files import read_token_file, token_file
from omnivla_vision.weights import random_weights
from test.encoders import random_encoder
from test.presets import shallow

SECOND = 10**9
Image = NDArray[np.uint8]


def make(**options: object) -> VisionEncoder:
    return random_encoder(shallow("small"), seed=3, **options)


@pytest.fixture(scope="module")
def alone() -> VisionEncoder:
    """What knows no past."""
    return make(takes_goal=False)


@pytest.fixture(scope="module")
def photographs_of_one_size(photographs: list[Image]) -> list[Image]:
    return [np.ascontiguousarray(np.roll(photographs[0], 40 * number, axis=1)) for number in range(6)]


def pooled(alone: VisionEncoder, image: Image, pooling: str = "2x2") -> Tensor:
    patches = alone.encode(image).fused.unsqueeze(0)
    return pool(patches, alone.preset.grid, get_pooling(pooling))[0]


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "not settled"])
def test_past_frames_are_a_further_output(
    alone: VisionEncoder, photographs_of_one_size: list[Image], settled: bool
) -> None:
    """Whether or not somebody had each frame kept before the next one came."""
    images = photographs_of_one_size
    encoder = make(history_frames=2, history_spacing="2")
    encoder.set_goal(Goal(rgb=images[5]))
    tokens = []
    for number, image in enumerate(images):
        tokens.append(encoder.encode(image, stamp_ns=number + 1))
        if settled:
            encoder.settle()
    assert [output.name for output in encoder.layout.outputs] == ["tokens", "history"]
    assert encoder.layout.image_names == ("current", "goal")
    assert encoder.layout.outputs[1].image_names == encoder.layout.past_names == ("t-2f", "t-4f")
    # The present images' tokens are what they are without a history.
    assert torch.equal(tokens[4].by_name["tokens"][0], alone.encode(images[4]).tokens)
    for index, past in ((0, (None, None)), (3, (1, None)), (5, (3, 1))):
        found = tokens[index]
        assert found.past_valid == tuple(number is not None for number in past)
        assert found.past_stamps_ns == tuple(0 if number is None else number + 1 for number in past)
        for given, number in zip(found.by_name["history"], past, strict=True):
            expected = torch.zeros(4, 1152) if number is None else pooled(alone, images[number])
            assert torch.equal(given, expected)


def test_a_preset_that_prescribes_a_history(alone: VisionEncoder, photographs_of_one_size: list[Image]) -> None:
    """OpenTrackVLA's shape of need: fine tokens of the present, coarse ones of all frames. The goal stays the last."""
    images = photographs_of_one_size
    outputs = (Output("fine", get_pooling("8x8"), "present"), Output("coarse", get_pooling("2x2"), "all"))
    encoder = random_encoder(replace(shallow("small"), outputs=outputs, history=History(frames=3)), seed=3)
    encoder.set_goal(Goal(rgb=images[5]))
    for image in images[:3]:
        tokens = encoder.encode(image)
    fine, coarse = tokens.by_name["fine"], tokens.by_name["coarse"]
    assert encoder.layout.outputs[1].image_names == ("current", "t-1f", "t-2f", "t-3f", "goal")
    assert tokens.past_valid == (True, True, False)
    assert torch.equal(fine[0], pooled(alone, images[2], "8x8"))
    expected = [pooled(alone, images[n]) for n in (2, 1, 0)] + [torch.zeros(4, 1152), pooled(alone, images[5])]
    assert torch.equal(coarse, torch.stack(expected))


def test_each_camera_has_a_past(photographs_of_one_size: list[Image]) -> None:
    images = photographs_of_one_size
    encoder = make(cameras=("front", "wrist"), takes_goal=False, history_frames=2, history_pool="none")
    first, second = (encoder.encode(pair, stamp_ns=stamp_ns) for stamp_ns, pair in ((5, images[:2]), (6, images[2:4])))
    assert encoder.layout.past_names == ("front t-1f", "wrist t-1f", "front t-2f", "wrist t-2f")
    assert second.past_stamps_ns == (5, 5, 0, 0)
    assert second.past_valid == (True, True, False, False)
    assert torch.equal(second.by_name["history"][:2], first.by_name["tokens"])
    assert torch.count_nonzero(second.by_name["history"][2:]) == 0


def test_in_projected_space_past_frames_are_projected_once(photographs_of_one_size: list[Image]) -> None:
    encoder = make(space="projected", takes_goal=False, history_frames=1, history_pool="none")
    first, second = (encoder.encode(image) for image in photographs_of_one_size[:2])
    assert torch.equal(second.by_name["history"], first.by_name["tokens"])


def test_a_new_goal_keeps_the_past(photographs_of_one_size: list[Image]) -> None:
    encoder = make(history_frames=1)
    for goal in photographs_of_one_size[2:4]:
        encoder.set_goal(Goal(rgb=goal))
        tokens = encoder.encode(photographs_of_one_size[0])
    assert tokens.past_valid == (True,)


def test_what_ends_the_past(photographs_of_one_size: list[Image]) -> None:
    image = photographs_of_one_size[0]
    encoder = make(history_frames=1, history_spacing="1s")

    def past(stamp_s: int, image: Image = image) -> tuple[bool, ...]:
        return encoder.encode(image, stamp_ns=stamp_s * SECOND).past_valid

    assert [past(10), past(11)] == [(False,), (True,)]
    assert past(12, image[:-2]) == (False,)  # another size
    assert past(13, image[:-2]) == (True,)
    encoder.forget()
    assert [past(14, image[:-2]), past(15, image[:-2])] == [(False,), (True,)]
    assert past(2, image[:-2]) == (False,)  # time goes back
    with pytest.raises(MissingStampError, match="stamp the images, or name a spacing in frames"):
        past(0)
    assert past(3, image[:-2]) == (True,)  # that frame was refused, and nothing else happened


def test_a_history_that_does_not_fit_into_memory_is_refused_before_an_engine_is_built() -> None:
    def too_late() -> Backbone:
        raise AssertionError("the weights were read")

    weights = replace(random_weights(shallow("small")), load=too_late)
    options = EncoderOptions(history_frames=256, history_spacing="10", history_pool="none")
    with pytest.raises(HistoryMemoryError, match=r"pool them \(history\.pool\)"):
        encoder_of(weights, options)


def test_a_file_says_which_past_frames_there_are(photographs_of_one_size: list[Image], tmp_path: Path) -> None:
    encoder, file = make(history_frames=2), tmp_path / "tokens.safetensors"
    encoder.encode(photographs_of_one_size[0])
    tokens = encoder.encode(photographs_of_one_size[1])
    file.write_bytes(token_file(tokens, "float32"))
    read = read_token_file(file)
    assert (read.past_image_names, read.past_image_valid) == (["t-1f", "t-2f"], [True, False])
    assert torch.equal(read.tensors["history"], tokens.by_name["history"])
