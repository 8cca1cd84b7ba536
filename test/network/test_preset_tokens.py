"""Every preset against timm, the independent reference: timm's own state dict, saved, loaded, and run in float32.

The encoders named in FULL_DEPTH have all their blocks; the others have their real widths and few blocks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.network.presets import PRESETS, get_preset
from omnivla_vision.network.random_weights import fill_random
from omnivla_vision.network.spec import EncoderSpec, Preset

MAX_RELATIVE_ERROR = 1e-5
FULL_DEPTH = {"dinosiglip-224", "siglip2-so400m-224", "clip-l-336", "dinov3-s-224", "dinov3-splus-224"}
# With biases of queries and values, which the others' files do not have; rotary positions at another grid.
DINOV3_384 = "timm:vit_small_patch16_dinov3_qkvb.lvd1689m@384"
DINOV3_WIDE = "timm:vit_small_patch16_dinov3.lvd1689m@224x384"
# For the inner loop.
NARROW = {
    "small",
    "timm:deit3_small_patch16_224.fb_in1k",
    "dinov3-s-224",
    "dinov3-splus-224",
    "navdp-224",
    "citywalker-350x630",
    DINOV3_384,
    DINOV3_WIDE,
}
# Deep enough for a first, a middle and an unread block.
SHALLOW_DEPTH = 4
# Where timm's model is not the network that was trained: Prismatic runs OpenAI's CLIP, and openpi and transformers
# SigLIP to its end, with the GELU of their training. All other activations are timm's own.
ACT_LAYERS = {"clip": "quick_gelu", "siglip": "gelu_tanh"}
OTHERS = [
    "timm:vit_base_patch16_siglip_256.webli",
    "timm:vit_base_patch14_dinov2.lvd142m@224+vit_base_patch16_siglip_256.webli",
    "timm:vit_large_patch14_clip_quickgelu_224.openai",
    "timm:deit3_small_patch16_224.fb_in1k",
    DINOV3_384,
    DINOV3_WIDE,
]


def timm_model(timm: ModuleType, spec: EncoderSpec) -> nn.Module:
    """The model as timm makes it, with seeded values that let every parameter matter."""
    changes: dict[str, Any] = {"depth": spec.depth, "device": "meta"}
    for part, act_layer in ACT_LAYERS.items():
        as_timm = "quickgelu" in spec.timm_id if part == "clip" else spec.activation == "gelu"
        if part in spec.timm_id and not as_timm:
            changes["act_layer"] = act_layer
    model: nn.Module = timm.create_model(
        spec.architecture, pretrained=False, num_classes=0, img_size=tuple(spec.image_size), **changes
    )
    fill_random(model.to_empty(device="cpu").requires_grad_(False), seed=7)
    for module in model.modules():
        if hasattr(module, "init_non_persistent_buffers"):  # the periods of rotary positions
            module.init_non_persistent_buffers()
    # Rounded, so that files of half the size hold them exactly.
    for name, parameter in model.named_parameters():
        if ".gamma_" in name:  # DINOv3's LayerScale
            parameter += 0.2
        parameter.data = parameter.data.bfloat16().float()
    return model.eval()


def timm_tokens(model: Any, spec: EncoderSpec, image: Tensor) -> Tensor:
    """The features that the public policies take from timm."""
    last = spec.final_norm
    with torch.inference_mode():
        (tokens,) = model.forward_intermediates(
            image,
            indices=[spec.depth - (1 if last else 2)],
            norm=last,
            output_fmt="NLC",
            intermediates_only=True,
            return_prefix_tokens=spec.class_output,
        )
    if spec.class_output:
        patches, prefix = tokens
        return torch.cat([prefix[:, :1], patches], dim=1)
    return tokens


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in NARROW else [pytest.mark.full_size]) for name in (*PRESETS, *OTHERS)],
)
def test_tokens_equal_timms(timm: ModuleType, name: str, tmp_path: Path) -> None:
    preset = get_preset(name)
    if name not in FULL_DEPTH:
        preset = replace(preset, encoders=tuple(replace(spec, depth=SHALLOW_DEPTH) for spec in preset.encoders))
    generator = torch.Generator().manual_seed(8)
    stacks = [torch.randn(1, 3 * len(inputs.encoders), *inputs.size, generator=generator) for inputs in preset.inputs]
    images = [image for stack in stacks for image in stack.split(3, dim=1)]
    files, segments = [], []
    for place, (spec, image) in enumerate(zip(preset.encoders, images, strict=True)):
        model = timm_model(timm, spec)
        segments.append(timm_tokens(model, spec, image))
        files.append(tmp_path / f"{place}.safetensors")
        save_file({key: tensor.bfloat16() for key, tensor in model.state_dict().items()}, files[-1])
        del model
    checkpoint = load_checkpoint("+".join(map(str, files)), preset=preset, dtype=torch.float32)
    tokens = checkpoint.backbone()(*stacks)
    for ours, theirs in zip(tokens, segments, strict=True):
        assert ours.shape == theirs.shape
        assert theirs.abs().mean() > 0.05  # the features carry something
        assert ((ours - theirs).abs().max() / theirs.abs().max()).item() <= MAX_RELATIVE_ERROR
    for file in files:
        file.unlink()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("clip-l-224", {"activation": "gelu"}),
        ("clip-l-224", {"norm_eps": 1e-3}),
        ("siglip2-so400m-p16-256", {"activation": "gelu"}),
        ("pi0-siglip-224", {"final_norm": False}),
        ("dinov3-s-224", {"rope_temperature": 99.0}),
        ("dinov3-splus-224", {"norm_eps": 1e-3}),
    ],
)
def test_the_comparison_sees_a_wrong_number_in_the_table(
    timm: ModuleType, name: str, change: dict[str, Any], tmp_path: Path
) -> None:
    (spec,) = get_preset(name).encoders
    spec = replace(spec, depth=SHALLOW_DEPTH)
    model = timm_model(timm, spec)
    save_file(model.state_dict(), tmp_path / "0.safetensors")
    image = torch.randn(1, 3, *spec.image_size, generator=torch.Generator().manual_seed(9))
    reference = timm_tokens(model, spec, image)
    wrong = Preset(name="wrong", encoders=(replace(spec, **change),))
    (tokens,) = load_checkpoint(tmp_path / "0.safetensors", preset=wrong).backbone()(image)
    assert ((tokens - reference).abs().max() / reference.abs().max()).item() > 10 * MAX_RELATIVE_ERROR
