"""Presets from timm's own configuration, for models that are not in the table: what `vit` expresses, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, cast, get_args

import torch
from torch import nn

from omnivla_vision.errors import VisionError
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.spec import Activation, EncoderSpec, Interpolation, Preset, Resize
from omnivla_vision.network.timm_eva import eva_numbers, eva_shapes, not_dinov3
from omnivla_vision.network.vit import VisionTransformer

# The module that timm puts between the MLP's layers -> what `vit` calls it.
_ACTIVATIONS: dict[str, Activation] = {"GELU": "gelu", "GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu"}
# Short names for segments, found in timm's names.
_FAMILIES = ("dinov3", "dinov2", "siglip", "clip", "mae", "dino")


class TimmPresetError(VisionError):
    """Base of the reasons for which timm's configuration makes no preset."""


class TimmMissingError(TimmPresetError):
    """timm is not installed, or its import fails."""


class UnknownTimmModelError(TimmPresetError):
    """timm does not know the model."""


class UnsupportedTimmModelError(TimmPresetError):
    """The model is not a plain vision transformer that `vit` can express."""


def timm_preset(models: str) -> Preset:
    """The preset of models `ID[@SIZE][+ID[@SIZE]]`; without SIZE, pixels per side or HEIGHTxWIDTH, its own.

    Raises:
        TimmMissingError: timm cannot be imported.
        UnknownTimmModelError: no such model.
        UnsupportedTimmModelError: the architecture has something that `vit` does not compute.
        GridMismatchError: the models have different numbers of patches.
    """
    encoders = []
    for part in models.split("+"):
        timm_id, _, size = part.partition("@")
        encoders.append(timm_encoder(timm_id, _image_size(models, timm_id, size) if size else None))
    return Preset(name=models, encoders=_named_apart(encoders))


def timm_encoder(timm_id: str, image_size: ImageSize | None = None) -> EncoderSpec:
    """Read one encoder's numbers from timm's model; its second-to-last block is the output. Raises as `timm_preset`."""
    if "naflex" in timm_id:
        raise UnsupportedTimmModelError(
            f"{timm_id}: found a NaFlex model, whose patch grid follows the image; expected a fixed grid, which the "
            "token layout of the message needs; choose the fixed-resolution model of the same family"
        )
    timm = _import_timm()
    if not timm.is_model(timm_id.partition(".")[0]):
        close = get_close_matches(timm_id.partition(".")[0], timm.list_models(), n=5)
        raise UnknownTimmModelError(
            f"timm {timm.__version__} knows no model {timm_id!r}; close names: {', '.join(close) or 'none'}"
        )
    try:
        defaults = timm.create_model(timm_id, pretrained=False, num_classes=0, device="meta").pretrained_cfg
        size = image_size or ImageSize(*map(int, defaults["input_size"][-2:]))
        model = timm.create_model(timm_id, pretrained=False, num_classes=0, device="meta", img_size=tuple(size))
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise UnsupportedTimmModelError(f"{timm_id}: timm cannot build it at a fixed input size: {error}") from error
    return _spec(timm, timm_id, model, size, defaults)


def _image_size(models: str, timm_id: str, text: str) -> ImageSize:
    match = re.fullmatch(r"([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", text)
    if match is None:
        raise UnknownTimmModelError(
            f"{models}: found input size {text!r}; expected pixels, as in {timm_id}@224 or {timm_id}@350x630"
        )
    return ImageSize(int(match[1]), int(match[2] or match[1]))


def _spec(timm: Any, timm_id: str, model: nn.Module, size: ImageSize, defaults: dict[str, Any]) -> EncoderSpec:
    eva = type(model) is timm.models.eva.Eva
    for found in not_dinov3(timm, model) if eva else _not_plain(timm.models.vision_transformer, model):
        _require(False, timm_id, found)
    block: Any = model.blocks[0]  # type: ignore[index]
    _require(type(block.norm1).__name__ == "LayerNorm", timm_id, f"norm of class {type(block.norm1).__name__}")
    plain: Any = model
    spec = EncoderSpec(
        name=next((family for family in _FAMILIES if family in timm_id), timm_id.partition(".")[0]),
        timm_id=timm_id,
        image_size=size,
        patch_size=plain.patch_embed.patch_size[0],
        width=plain.embed_dim,
        depth=len(plain.blocks),
        heads=block.attn.num_heads,
        activation=_activation(timm_id, block.mlp),
        class_token=plain.cls_token is not None,
        pre_norm=isinstance(plain.norm_pre, nn.LayerNorm),
        norm_eps=block.norm1.eps,
        mean=tuple(defaults["mean"]),
        std=tuple(defaults["std"]),
        resize=_resize(timm_id, defaults["interpolation"]),
        **(eva_numbers(model) if eva else _plain_numbers(model)),
    )
    # Whatever else differs (a norm of queries and keys, no bias, no positions, ...) shows in the parameters.
    with torch.device("meta"):
        ours = {key: tuple(tensor.shape) for key, tensor in VisionTransformer(spec).state_dict().items()}
    run = (spec.block + 1, spec.depth)
    shapes = eva_shapes(model) if eva else {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    theirs = {
        key: shape
        for key, shape in shapes.items()
        if not key.startswith(("norm.", "fc_norm.", "head.", "attn_pool.", *(f"blocks.{i}." for i in range(*run))))
    }
    different = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    _require(not different, timm_id, f"parameters that a plain one does not have or has otherwise: {different[:4]}")
    return spec


def _not_plain(transformer: Any, model: Any) -> Iterator[str]:
    if type(model) is not transformer.VisionTransformer:
        yield f"class {type(model).__name__}"
    elif type(model.blocks[0]) is not transformer.Block:
        yield f"blocks of class {type(model.blocks[0]).__name__}"
    elif type(model.blocks[0].attn) is not transformer.Attention:
        yield f"attention of class {type(model.blocks[0].attn).__name__}"


def _plain_numbers(model: Any) -> dict[str, Any]:
    block = model.blocks[0]
    return {
        "mlp_width": block.mlp.fc1.out_features,
        "register_tokens": model.num_reg_tokens,
        "layer_scale": hasattr(block.ls1, "gamma"),
        "embed_prefix": model.num_prefix_tokens > 0 and not model.no_embed_class,
    }


def _activation(timm_id: str, mlp: Any) -> Activation:
    found = type(mlp.act).__name__
    if type(mlp).__name__ == "SwiGLU":
        return "swiglu"
    if type(mlp).__name__ == "GluMlp":
        _require(found == "SiLU" and not mlp.gate_last, timm_id, f"a gated MLP with {found}")
        return "swiglu"
    _require(type(mlp).__name__ == "Mlp" and found in _ACTIVATIONS, timm_id, f"{type(mlp).__name__} with {found}")
    return _ACTIVATIONS[found]


def _resize(timm_id: str, interpolation: str) -> Resize:
    _require(interpolation in get_args(Interpolation), timm_id, f"images resized by {interpolation}")
    return Resize(interpolation=cast(Interpolation, interpolation))


def _require(condition: bool, timm_id: str, found: str) -> None:
    if not condition:
        raise UnsupportedTimmModelError(
            f"{timm_id}: found {found}; expected a plain VisionTransformer with learned positions, or DINOv3, "
            f"LayerNorm and bicubic or bilinear resize, and {', '.join(get_args(Activation))}; only such can be run"
        )


def _named_apart(encoders: list[EncoderSpec]) -> tuple[EncoderSpec, ...]:
    """Two encoders of one family are told apart by their architecture, or at last by their place."""
    names = [spec.name for spec in encoders]
    if len(set(names)) == len(names):
        return tuple(encoders)
    return tuple(replace(spec, name=f"{spec.architecture}_{place}") for place, spec in enumerate(encoders))


def _import_timm() -> Any:
    try:
        import timm
        import timm.models.eva
        import timm.models.vision_transformer
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that was built for another torch
        raise TimmMissingError(
            f"a preset from timm's configuration needs timm >= 1.0.22, and importing it failed: {error}; "
            "pip install 'timm>=1.0.22' (with the torchvision of this torch), or choose a preset by name"
        ) from error
    return timm
