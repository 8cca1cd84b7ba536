"""Several outputs of one encoder: their tokens, and what messages and files hold of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.network.outputs import Output, get_pooling
from omnivla_vision.network.spec import Preset
from omnivla_vision.replay.token_bag import TOKENS_TYPE, token_types
from omnivla_vision.tokens import unpack, unpack_outputs, unpack_outputs_torch
from omnivla_vision.tokens.files import TokenFileError, read_token_file, token_file
from omnivla_vision.tokens.token_set import TokenSet
from test.encoders import random_encoder
from test.policy.messages import recorded
from test.presets import shallow

Arrays = dict[str, NDArray[np.floating]]


@pytest.fixture(scope="module")
def preset() -> Preset:
    """DINOv2's class token beside the patches of both, in five ways."""
    dinov2, siglip = shallow("small").encoders
    poolings = {"tokens": "none", "fine": "8x8", "coarse": "3x5", "cells": "shuffle:4", "class": "class"}
    return Preset(
        name="several",
        encoders=(replace(dinov2, class_output=True), siglip),
        outputs=tuple(Output(name, get_pooling(pooling)) for name, pooling in poolings.items()),
    )


@pytest.fixture(scope="module")
def encoder(preset: Preset) -> VisionEncoder:
    return random_encoder(preset)


@pytest.fixture(scope="module")
def tokens(encoder: VisionEncoder, photographs: list[NDArray[np.uint8]]) -> TokenSet:
    encoder.set_goal(Goal(rgb=photographs[1]))
    return encoder.encode(photographs[0])


@pytest.fixture(scope="module")
def expected(tokens: TokenSet) -> Arrays:
    """By hand, of the patches: means over cells, as adaptive pooling cuts them; and patches side by side."""
    patches = tokens.fused.numpy().reshape(2, 16, 16, 1152)

    def average(rows: int, columns: int) -> NDArray[np.floating]:
        def cut(cells: int, cell: int) -> slice:
            return slice(cell * 16 // cells, -(-(cell + 1) * 16 // cells))

        cells = [(cut(rows, r), cut(columns, c)) for r in range(rows) for c in range(columns)]
        return np.stack([patches[:, r, c].mean(axis=(1, 2)) for r, c in cells], axis=1)

    cells = [patches[:, r : r + 4, c : c + 4].reshape(2, -1) for r in range(0, 16, 4) for c in range(0, 16, 4)]
    return {
        "tokens": patches.reshape(2, 256, 1152),
        "fine": average(8, 8),
        "coarse": average(3, 5),
        "cells": np.stack(cells, axis=1),
    }


def test_every_output_is_pooled_as_it_says(tokens: TokenSet, expected: Arrays) -> None:
    assert {name: tuple(t.shape) for name, t in tokens.by_name.items()} == {
        "tokens": (2, 256, 1152),
        "fine": (2, 64, 1152),
        "coarse": (2, 15, 1152),
        "cells": (2, 16, 18432),
        "class": (2, 1, 384),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(tokens.by_name[name], values, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(tokens.by_name["tokens"], expected["tokens"])
    np.testing.assert_array_equal(tokens.by_name["cells"], expected["cells"])


def test_the_goals_tokens_are_those_of_its_picture(
    tokens: TokenSet, encoder: VisionEncoder, photographs: list[NDArray[np.uint8]]
) -> None:
    alone = encoder.encode(photographs[1])
    for name, values in tokens.by_name.items():
        assert torch.equal(values[1], alone.by_name[name][0])
        assert not torch.equal(values[0], values[1])


def test_a_goal_whose_features_were_kept(
    tokens: TokenSet, encoder: VisionEncoder, photographs: list[NDArray[np.uint8]]
) -> None:
    goal = encoder.encode_goal(Goal(rgb=photographs[1]))
    encoder.use_goal(encoder.recall_goal(goal.goal, goal.fused, goal.class_tokens))
    again = encoder.encode(photographs[0])
    assert all(torch.equal(values, again.by_name[name]) for name, values in tokens.by_name.items())


def test_without_a_goal_its_rows_are_zeros(encoder: VisionEncoder, photographs: list[NDArray[np.uint8]]) -> None:
    goal = encoder.encode_goal(Goal(rgb=photographs[1]))
    encoder.use_goal(None)
    found = encoder.encode(photographs[0])
    encoder.use_goal(goal)
    assert all(values[0].any() and not values[1].any() for values in found.by_name.values())
    assert found.goal is None


def test_projected_tokens_are_pooled_first(photographs: list[NDArray[np.uint8]]) -> None:
    preset = replace(shallow("small"), outputs=(Output("fine", get_pooling("8x8")), Output("one", get_pooling("1x1"))))
    found = random_encoder(preset, space="projected").encode(photographs[0])
    pooled = random_encoder(preset).encode(photographs[0])
    assert found.layout.shape == (130, 4096)
    from omnivla_vision.weights import random_weights

    projector = random_weights(preset, projected=True).projector
    assert projector is not None
    for name, values in pooled.by_name.items():
        torch.testing.assert_close(found.by_name[name][0], projector(values[0]))
    assert not found.by_name["fine"][1].any()


def test_a_message_holds_all_of_them(tokens: TokenSet, tmp_path: Path) -> None:
    message = recorded(tokens, tmp_path)
    assert (list(message.shape), list(message.strides)) == ([tokens.layout.elements], [1])
    assert (message.tokens_per_image, list(message.image_names)) == (256, ["current", "goal"])
    found, in_torch = unpack_outputs(message), unpack_outputs_torch(message)
    assert list(found) == list(in_torch) == ["tokens", "fine", "coarse", "cells", "class"]
    for name, values in tokens.by_name.items():
        np.testing.assert_array_equal(found[name], values.half())
        assert torch.equal(in_torch[name], values.half())


def test_outputs_of_one_width_are_rows_of_one_tensor(photographs: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    preset = replace(shallow("small"), outputs=(Output("fine", get_pooling("8x8")), Output("one", get_pooling("1x1"))))
    tokens = random_encoder(preset).encode(photographs[0])
    message = recorded(tokens, tmp_path)
    assert unpack(message).shape == (130, 1152)
    found = unpack_outputs(message)
    np.testing.assert_array_equal(np.concatenate([v.reshape(-1, 1152) for v in found.values()]), unpack(message))


def test_ros_passes_the_description_on(tokens: TokenSet, tmp_path: Path) -> None:
    serialization = pytest.importorskip("rclpy.serialization")
    from omnivla_vision.msg import VisualTokens

    message, types = recorded(tokens, tmp_path), token_types()
    data = bytes(types.serialize_cdr(message, TOKENS_TYPE))
    in_ros = serialization.deserialize_message(data, VisualTokens)
    assert [output.pooling for output in in_ros.outputs] == ["none", "8x8", "3x5", "shuffle:4", "class"]
    again = types.deserialize_cdr(serialization.serialize_message(in_ros), TOKENS_TYPE)
    assert bytes(types.serialize_cdr(again, TOKENS_TYPE)) == data
    for name, values in unpack_outputs(in_ros).items():
        np.testing.assert_array_equal(values, tokens.by_name[name].half())


def test_a_file_holds_all_of_them_by_name(tokens: TokenSet, tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(token_file(tokens, "float32"))
    found = read_token_file(path)
    assert [output.name for output in found.outputs] == list(found.tensors) == list(tokens.by_name)
    assert all(torch.equal(values, tokens.by_name[name]) for name, values in found.tensors.items())
    assert torch.equal(found.tokens[0], tokens.tokens)


def test_a_file_whose_tensor_is_not_as_described(tokens: TokenSet, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = tmp_path / "t"
    path.write_bytes(token_file(tokens, "float32"))
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    for broken, sentence in (
        (tensors | {"fine": tensors["fine"][:, 1:]}, r"with 'fine' \[1, 127, 1152\]; expected \[1, 128, 1152\]"),
        ({name: t for name, t in tensors.items() if name != "class"}, r"without what is needed .*class"),
    ):
        save_file({name: t.contiguous() for name, t in broken.items()}, path, metadata=metadata)
        with pytest.raises(TokenFileError, match=sentence):
            read_token_file(path)
