"""A message's outputs by name, and every way in which its description may not add up; without torch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from omnivla_vision.tokens import OutputDescriptionError, TokenSizeError, unpack, unpack_outputs
from omnivla_vision.tokens.packing import pack

FINE = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
COARSE = np.random.default_rng(1).normal(size=(3, 1, 5)).astype(np.float32)
CLASS = np.random.default_rng(2).normal(size=(2, 1, 3)).astype(np.float32)


def output(name: str, tokens: np.ndarray, images: list[str], pooling: str, **changed: Any) -> SimpleNamespace:
    width = tokens.shape[2]
    described = {
        "name": name,
        "pooling": pooling,
        "image_names": images,
        "tokens_per_image": tokens.shape[1],
        "grid_height": tokens.shape[1] // 2 or 1,
        "grid_width": min(2, tokens.shape[1]),
        "segment_names": ["dinov3", "siglip"],
        "segment_widths": np.array([2, width - 2], np.uint32),  # as rosbags gives them
    }
    return SimpleNamespace(**described | changed)


def message(*, wide: bool = False, **changed: Any) -> SimpleNamespace:
    """Two outputs of one width, and with `wide` a third of another."""
    outputs = [
        output("fine", FINE, ["front", "goal"], "2x2"),
        output("coarse", COARSE, ["front", "t-1f", "goal"], "1x1"),
    ]
    tokens = np.concatenate([FINE.reshape(-1, 5), COARSE.reshape(-1, 5)])
    if wide:
        outputs.append(output("class", CLASS, ["front", "goal"], "class"))
        tokens = np.concatenate([tokens.reshape(-1), CLASS.reshape(-1)])
    said = vars(pack(tokens, "float32")) | {k: v for k, v in vars(outputs[0]).items() if k not in ("name", "pooling")}
    return SimpleNamespace(**said | {"outputs": outputs} | changed)


@pytest.mark.parametrize("wide", [False, True])
def test_outputs_by_name(wide: bool) -> None:
    found = unpack_outputs(message(wide=wide))
    expected = {"fine": FINE, "coarse": COARSE, **({"class": CLASS} if wide else {})}
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], tokens) for name, tokens in expected.items())


def test_they_are_views_of_the_messages_own_bytes() -> None:
    packed = message()
    assert all(
        np.shares_memory(tokens, np.frombuffer(packed.data, np.uint8)) for tokens in unpack_outputs(packed).values()
    )
    assert unpack(packed).shape == (11, 5)


def test_the_tensor_itself_is_checked() -> None:
    with pytest.raises(TokenSizeError):
        unpack_outputs(message(strides=[1, 5]))


@pytest.mark.parametrize(
    ("place", "changed", "sentence"),
    [
        (0, {"tokens_per_image": 5}, r"'fine': found 5 tokens per image in a grid of 2x2"),
        (1, {"grid_width": 0, "tokens_per_image": 0}, r"'coarse': found 0 tokens per image in a grid of 1x0"),
        (0, {"segment_names": ["dinov3"]}, r"'fine': found columns \['dinov3'\] of \[2, 3\]"),
        (0, {"segment_names": [], "segment_widths": []}, r"'fine': found columns \[\] of \[\]"),
        (1, {"segment_widths": [5, 0]}, r"'coarse': found columns .* of \[5, 0\]"),
        (1, {"pooling": "2by2"}, r"'coarse': found pooling '2by2'; expected none, ROWSxCOLUMNS"),
        (1, {"image_names": ["front"]}, r"found a tensor \[11, 5\] for outputs fine \[2, 4, 5\], coarse \[1, 1, 5\]"),
        (1, {"segment_widths": [2, 4]}, r"coarse \[3, 1, 6\]; expected \[58\]"),
        (1, {"name": "fine"}, r"found outputs named \['fine', 'fine'\]; expected one or more different names"),
        (1, {"name": ""}, r"found outputs named \['fine', ''\]"),
        (0, {"image_names": ["goal", "front"]}, r"found image_names \['front', 'goal'\] of the message and \['goal'"),
        (
            0,
            {"grid_height": 1, "grid_width": 4},
            r"found grid_height 2 of the message and 1 of its first output 'fine'",
        ),
    ],
)
def test_a_description_that_does_not_add_up(place: int, changed: dict[str, Any], sentence: str) -> None:
    broken = message()
    vars(broken.outputs[place]).update(changed)
    with pytest.raises(OutputDescriptionError, match=sentence):
        unpack_outputs(broken)


@pytest.mark.parametrize(("shape", "strides"), [([55], [1]), ([5, 11], [11, 1]), ([1, 11, 5], [55, 5, 1])])
def test_a_shape_that_is_not_that_of_its_outputs(shape: list[int], strides: list[int]) -> None:
    with pytest.raises(OutputDescriptionError, match=r"expected \[11, 5\]; the message is broken"):
        unpack_outputs(message(shape=shape, strides=strides))


def test_a_message_without_outputs() -> None:
    with pytest.raises(OutputDescriptionError, match=r"found outputs named \[\]"):
        unpack_outputs(message(outputs=[]))
