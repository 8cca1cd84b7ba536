"""The backbone against timm, the independent reference, with the same random weights in float32."""

from __future__ import annotations

from types import ModuleType

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from omnivla_vision.network.backbone import Backbone, build_backbone
from omnivla_vision.network.presets import EncoderSpec, get_preset
from omnivla_vision.network.random_weights import fill_random

MAX_RELATIVE_ERROR = 1e-5
WIDTHS = {"dinosiglip-224": 2176, "small": 1152}


@pytest.fixture(
    scope="module", params=[pytest.param("dinosiglip-224", marks=pytest.mark.full_size), pytest.param("small")]
)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    backbone = build_backbone(get_preset(request.param))
    fill_random(backbone, seed=1)
    return backbone


@pytest.fixture(scope="module")
def stacks(backbone: Backbone) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return tuple(
        torch.randn(2, 3 * len(inputs.encoders), *inputs.size, generator=generator) for inputs in backbone.preset.inputs
    )


@pytest.fixture(scope="module")
def tokens(backbone: Backbone, stacks: tuple[Tensor, ...]) -> Tensor:
    with torch.inference_mode():
        return torch.cat(backbone(*stacks), dim=-1)


def images(backbone: Backbone, stacks: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Each encoder's own [B, 3, S, S] input, by the channel contract and not by our code."""
    if len(stacks) == 1:
        return {"dinov2": stacks[0][:, 0:3], "siglip": stacks[0][:, 3:6]}
    return {"dinov2": stacks[0], "siglip": stacks[1]}


def load_into_timm(timm: ModuleType, spec: EncoderSpec, encoder: nn.Module) -> nn.Module:
    """timm's model with our weights; what we never build (last block, norm, pooling) keeps timm's own values."""
    model = timm.create_model(
        spec.timm_id.partition(".")[0], pretrained=False, num_classes=0, img_size=tuple(spec.image_size)
    )
    unmatched = model.load_state_dict(encoder.state_dict(), strict=False)
    assert not unmatched.unexpected_keys
    unused = ("norm.", "attn_pool.", f"blocks.{spec.depth - 1}.")
    assert all(key.startswith(unused) for key in unmatched.missing_keys)
    return model.eval()


@torch.inference_mode()
def test_tokens_equal_timms_second_to_last_block(
    timm: ModuleType, backbone: Backbone, stacks: tuple[Tensor, ...], tokens: Tensor
) -> None:
    segments = []
    for name, image in images(backbone, stacks).items():
        spec = backbone.encoders[name].spec
        model = load_into_timm(timm, spec, backbone.encoders[name])
        (features,) = model.forward_intermediates(
            image, indices=[spec.depth - 2], norm=False, output_fmt="NLC", intermediates_only=True
        )
        segments.append(features)
    reference = torch.cat(segments, dim=-1)
    assert tokens.shape == (2, 256, WIDTHS[backbone.preset.name])
    assert reference.abs().mean() > 0.1  # weights and inputs are such that the features carry something
    assert ((tokens - reference).abs().max() / reference.abs().max()).item() <= MAX_RELATIVE_ERROR


@torch.inference_mode()
def test_swapping_the_channel_groups_changes_every_token(
    backbone: Backbone, stacks: tuple[Tensor, ...], tokens: Tensor
) -> None:
    if len(stacks) > 1:
        pytest.skip("the encoders have inputs of their own")
    swapped = torch.cat(backbone(stacks[0][:, [3, 4, 5, 0, 1, 2]]), dim=-1)
    assert ((swapped - tokens).norm(dim=-1) / tokens.norm(dim=-1)).min() > 0.05


@torch.inference_mode()
def test_a_batch_equals_its_images_one_by_one(backbone: Backbone, stacks: tuple[Tensor, ...], tokens: Tensor) -> None:
    second = torch.cat(backbone(*(stack[1:] for stack in stacks)), dim=-1)
    assert torch.equal(second[0], tokens[1])
