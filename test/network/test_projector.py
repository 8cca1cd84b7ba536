"""The projector, and token sets in projected space and of several cameras."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch
from torch import nn

from omnivla_vision.encoder import ImageCountError, VisionEncoder
from omnivla_vision.engine.eager import EagerEngine
from omnivla_vision.goal import Goal
from omnivla_vision.network.projector import build_projector, load_projector, projector_widths
from omnivla_vision.network.random_weights import fill_random
from omnivla_vision.tokens.layout import Segment
from test.encoders import random_encoder
from test.presets import shallow


def sequential(state: dict[str, torch.Tensor]) -> nn.Sequential:
    """Prismatic's own arrangement, from torch's modules."""
    layers: list[nn.Module] = []
    for number in range(1, len(state) // 2 + 1):
        weight, bias = state[f"fc{number}.weight"], state[f"fc{number}.bias"]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = weight, bias
        layers += [linear, nn.GELU()]
    return nn.Sequential(*layers[:-1])


def test_a_pair_has_three_layers_of_the_documented_widths() -> None:
    widths = projector_widths(2176, 2)
    assert widths == [2176, 8704, 4096, 4096]
    parameters = sum(tensor.numel() for tensor in build_projector(widths).parameters())
    assert parameters == pytest.approx(71.4e6, rel=1e-3)
    assert projector_widths(1152, 1) == [1152, 4096, 4096]


@pytest.mark.parametrize("widths", [[96, 384, 64, 64], [96, 64, 64]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_prismatics_mlp(widths: list[int], dtype: torch.dtype) -> None:
    projector = build_projector(widths)
    fill_random(projector, seed=1)
    state = {name: tensor.to(dtype) for name, tensor in projector.state_dict().items()}
    loaded = load_projector(state)
    tokens = torch.randn(5, 96, generator=torch.Generator().manual_seed(2))
    reference = sequential(state)
    with torch.inference_mode():
        projected, expected = loaded(tokens), reference(tokens.to(dtype)).float()
    assert projected.dtype == torch.float32
    assert torch.equal(projected, expected)
    assert (loaded.width, loaded.out_width) == (96, 64)


@pytest.fixture(scope="module")
def projected() -> VisionEncoder:
    return random_encoder(shallow("small"), seed=3, space="projected")


def test_tokens_come_out_in_the_language_models_width(
    projected: VisionEncoder, photographs: list[NDArray[np.uint8]]
) -> None:
    fused = random_encoder(shallow("small"), seed=3)
    for encoder in (projected, fused):
        encoder.set_goal(Goal(rgb=photographs[1]))
    tokens, before = projected.encode(photographs[0]), fused.encode(photographs[0])
    assert tokens.tokens.shape == (512, 4096)
    assert (tokens.layout.space, before.layout.space) == ("projected", "fused")
    assert tokens.layout.segments == (Segment("projector", 4096),)
    assert before.layout.segments == (Segment("dinov2", 384), Segment("siglip", 768))
    projector = build_projector(projector_widths(1152, 2))
    fill_random(projector, seed=3)
    reference = sequential(projector.state_dict())
    with torch.inference_mode():
        expected = reference(before.tokens)
    torch.testing.assert_close(tokens.tokens, expected, rtol=1e-5, atol=1e-5)
    assert "project" in tokens.stage_ms


def test_without_a_goal_its_rows_are_zeros_in_projected_space_too(
    projected: VisionEncoder, photographs: list[NDArray[np.uint8]]
) -> None:
    projected.set_goal(None)
    tokens = projected.encode(photographs[0])
    assert tokens.goal is None
    assert tokens.layout.image_names == ("current", "goal")
    assert torch.count_nonzero(tokens.tokens[256:]) == 0
    assert torch.count_nonzero(tokens.tokens[:256]) > 0


@pytest.fixture(scope="module")
def several(projected: VisionEncoder) -> dict[str, VisionEncoder]:
    """The same network for OpenVLA's one image, and for OpenVLA-OFT's several with a goal."""
    engine = projected._engine
    assert isinstance(engine, EagerEngine)

    def make(cameras: tuple[str, ...], takes_goal: bool) -> VisionEncoder:
        return VisionEncoder(
            engine, projected.preset, weights="random", fingerprint="x", cameras=cameras, takes_goal=takes_goal
        )

    return {"openvla": make(("image",), False), "oft": make(("primary", "left", "right"), True)}


def test_n_images_follow_one_another(several: dict[str, VisionEncoder], photographs: list[NDArray[np.uint8]]) -> None:
    one, three = several["openvla"], several["oft"]
    three.set_goal(Goal(rgb=photographs[3]))
    tokens = three.encode(photographs[:3])
    assert tokens.layout.image_names == ("primary", "left", "right", "goal")
    assert tokens.tokens.shape == (tokens.layout.rows, tokens.layout.width) == (4 * 256, 1152)
    for place, photograph in enumerate(photographs[:4]):
        alone = one.encode(photograph)
        assert alone.tokens.shape == (256, 1152)
        assert alone.layout.image_names == ("image",)
        rows = tokens.tokens[256 * place : 256 * (place + 1)]
        torch.testing.assert_close(rows, alone.tokens, rtol=1e-5, atol=1e-5)


def test_another_number_of_images_is_refused(
    several: dict[str, VisionEncoder], photographs: list[NDArray[np.uint8]]
) -> None:
    with pytest.raises(ImageCountError, match=r"found 1 image\(s\); expected 3, one for each of primary, left, right"):
        several["oft"].encode(photographs[0])
    with pytest.raises(ImageCountError, match="found a goal image; expected none"):
        several["openvla"].set_goal(Goal(rgb=photographs[0]))
    assert not several["openvla"].set_goal(None)
