"""What policies' public code makes of an image, run with transformers' own models on random weights, against presets.

The recipes are written down once more, from the policies' code (docs/presets.md names the files), for photographs of
the encoders' own size: a resize of ours and one of PIL's differ by a level here and there, which is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

pytest.importorskip("torch")

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.features import fuse
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.random_weights import fill_random
from omnivla_vision.network.spec import EncoderSpec, Preset

Image = NDArray[np.uint8]
MAX_RELATIVE_ERROR = 1e-5
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SHALLOW = 2


def randomized(model: nn.Module) -> Any:
    """Seeded values that let every parameter matter."""
    fill_random(model.requires_grad_(False), seed=21)
    for name, parameter in model.named_parameters():
        if name.endswith("lambda1"):  # LayerScale
            parameter += 0.2
    return model.eval()


def siglip(transformers: ModuleType, spec: EncoderSpec) -> Any:
    config = transformers.SiglipVisionConfig(
        hidden_size=spec.width,
        intermediate_size=spec.mlp_width,
        num_hidden_layers=spec.depth,
        num_attention_heads=spec.heads,
        image_size=spec.image_size.height,
        patch_size=spec.patch_size,
    )
    return randomized(transformers.SiglipVisionModel(config))


def dinov3(transformers: ModuleType, spec: EncoderSpec) -> Any:
    """The small one is transformers' default, but for its registers."""
    config = transformers.DINOv3ViTConfig(num_register_tokens=4, num_hidden_layers=spec.depth)
    return randomized(transformers.DINOv3ViTModel(config))


def dinov2(transformers: ModuleType, spec: EncoderSpec) -> Any:
    """With the positions of the released weights, at 518 pixels, and DINOv2's own way from them to another grid."""
    config = transformers.Dinov2Config(
        hidden_size=spec.width,
        num_hidden_layers=spec.depth,
        num_attention_heads=spec.heads,
        patch_size=14,
        image_size=518,
    )
    model = randomized(transformers.Dinov2Model(config))

    def interpolate(_: Tensor, height: int, width: int) -> Tensor:
        positions = model.embeddings.position_embeddings
        picture = positions[:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2)
        factors = tuple((side // 14 + 0.1) / 37 for side in (height, width))
        patches = F.interpolate(picture, scale_factor=factors, mode="bicubic").flatten(2).transpose(1, 2)
        return torch.cat([positions[:, :1], patches], dim=1)

    model.embeddings.interpolate_pos_encoding = interpolate
    return model


def smolvlm(transformers: ModuleType, spec: EncoderSpec) -> Any:
    module = transformers.models.smolvlm
    config = module.SmolVLMVisionConfig(
        hidden_size=spec.width,
        intermediate_size=spec.mlp_width,
        num_hidden_layers=spec.depth,
        num_attention_heads=spec.heads,
        image_size=512,
        patch_size=16,
    )
    return randomized(module.modeling_smolvlm.SmolVLMVisionTransformer(config))


def normalized(image: Image, numbers: tuple[Sequence[float], Sequence[float]]) -> Tensor:
    """[1, 3, H, W]."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in numbers)
    return ((torch.from_numpy(image).permute(2, 0, 1).float() / 255 - mean) / std).unsqueeze(0)


def averaged(tokens: Tensor, grid: int, to: int) -> Tensor:
    """OpenTrackVLA's `grid_pool_tokens` and `adapt_siglip_grid`."""
    picture = tokens.transpose(1, 2).reshape(1, -1, grid, grid)
    return F.adaptive_avg_pool2d(picture, (to, to)).flatten(2).transpose(1, 2)


def robottrack(models: list[Any], image: Image, _: ModuleType) -> dict[str, Tensor]:
    first, second = models
    patches = first(normalized(image, IMAGENET)).last_hidden_state[:, 5:]
    others = averaged(second(normalized(image, HALF)).last_hidden_state, 27, 24)
    both = torch.cat([patches, others], dim=-1)
    return {"fine": averaged(both, 24, 8), "coarse": averaged(both, 24, 2)}


def navdp(models: list[Any], image: Image, _: ModuleType) -> dict[str, Tensor]:
    return {"tokens": models[0](normalized(image, IMAGENET)).last_hidden_state[:, 1:]}


def citywalker(models: list[Any], image: Image, _: ModuleType) -> dict[str, Tensor]:
    return {"class": models[0](normalized(image, IMAGENET)).last_hidden_state[:, :1]}


def navila(models: list[Any], image: Image, _: ModuleType) -> dict[str, Tensor]:
    """NaVILA's `DownSampleBlock` without its last transposition, by torch's own pixel unshuffle."""
    states = models[0](normalized(image, HALF), output_hidden_states=True).hidden_states[-2]
    picture = F.pad(states.transpose(1, 2).reshape(1, -1, 27, 27), (0, 1, 0, 1))
    cells = F.pixel_unshuffle(picture, 2).reshape(1, -1, 4, 14, 14)  # [1, width, place in the cell, rows, columns]
    return {"tokens": cells.permute(0, 3, 4, 2, 1).reshape(1, 196, -1)}


def smolvla(models: list[Any], image: Image, transformers: ModuleType) -> dict[str, Tensor]:
    states = models[0](normalized(image, HALF)).last_hidden_state
    connector = transformers.models.smolvlm.modeling_smolvlm.SmolVLMConnector
    return {"tokens": connector.pixel_shuffle(None, states, 4)}


Recipe = Callable[[list[Any], Image, ModuleType], dict[str, Tensor]]
RECIPES: dict[str, tuple[tuple[Callable[[ModuleType, EncoderSpec], Any], ...], Recipe]] = {
    "robottrack-384": ((dinov3, siglip), robottrack),
    "navdp-224": ((dinov2,), navdp),
    "navila-384": ((siglip,), navila),
    "smolvla-512": ((smolvlm,), smolvla),
    "citywalker-350x630": ((dinov2,), citywalker),
}


def with_depth(preset: Preset, depth: int | None) -> Preset:
    encoders = (spec if depth is None else replace(spec, depth=depth) for spec in preset.encoders)
    return replace(preset, encoders=tuple(encoders))


def tokens_of(preset: Preset, folder: Path, models: list[Any], image: Image) -> dict[str, Tensor]:
    """From files as transformers writes them."""
    folders = [folder / str(place) for place in range(len(models))]
    for model, place in zip(models, folders, strict=True):
        model.save_pretrained(place)
    loaded = load_checkpoint("+".join(map(str, folders)), preset=preset, dtype=torch.float32)
    features = fuse(loaded.backbone()(*Preprocessor(preset)([image])), preset)
    return {output.name: features.pool(output.pooling) for output in preset.outputs}


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        *(pytest.param(name, SHALLOW, id=name) for name in RECIPES),
        *(pytest.param(name, None, id=f"{name}-full", marks=pytest.mark.full_size) for name in RECIPES),
    ],
)
@torch.no_grad()
def test_tokens_are_the_public_recipes(
    transformers: ModuleType, photographs: list[Image], name: str, depth: int | None, tmp_path: Path
) -> None:
    preset = with_depth(get_preset(name), depth)
    makers, recipe = RECIPES[name]
    models = [make(transformers, spec) for make, spec in zip(makers, preset.encoders, strict=True)]
    height, width = preset.encoders[0].image_size
    chosen = photographs[:1] if depth else photographs[:2]
    for image in chosen:
        image = np.asarray(PilImage.fromarray(image).resize((width, height), PilImage.BICUBIC))
        expected = recipe(models, image, transformers)
        found = tokens_of(preset, tmp_path, models, image)
        assert found.keys() == expected.keys()
        for output, theirs in expected.items():
            assert found[output].shape == theirs.shape
            assert theirs.abs().mean() > 0.05  # the tokens carry something
            assert ((found[output] - theirs).abs().max() / theirs.abs().max()).item() <= MAX_RELATIVE_ERROR


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("navdp-224", {"final_norm": False}),
    ("navdp-224", {"position_resize": "antialiased"}),
    ("navila-384", {"skipped_blocks": 0}),
    ("smolvla-512", {"final_norm": False}),
    ("citywalker-350x630", {"norm_eps": 1e-3}),
]


@pytest.mark.parametrize(("name", "change"), WRONG)
@torch.no_grad()
def test_the_comparison_sees_a_wrong_number(
    transformers: ModuleType, photographs: list[Image], name: str, change: dict[str, Any], tmp_path: Path
) -> None:
    preset = with_depth(get_preset(name), SHALLOW)
    makers, recipe = RECIPES[name]
    models = [make(transformers, spec) for make, spec in zip(makers, preset.encoders, strict=True)]
    height, width = preset.encoders[0].image_size
    image = np.asarray(PilImage.fromarray(photographs[0]).resize((width, height), PilImage.BICUBIC))
    wrong = replace(preset, encoders=(replace(preset.encoders[0], **change), *preset.encoders[1:]))
    found = tokens_of(wrong, tmp_path, models, image)
    for output, theirs in recipe(models, image, transformers).items():
        assert ((found[output] - theirs).abs().max() / theirs.abs().max()).item() > 10 * MAX_RELATIVE_ERROR
