"""Writes checkpoints as the public training code does: its key names, its folders, seeded values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from omnivla_vision.network.backbone import build_backbone
from omnivla_vision.network.projector import build_projector, projector_widths
from omnivla_vision.network.random_weights import fill_random
from omnivla_vision.network.spec import EncoderSpec, Preset
from omnivla_vision.network.vit import VisionTransformer

State = dict[str, Tensor]
Edit = Callable[[State], None]

TVF_MEANS = [[0.484375, 0.455078125, 0.40625], [0.5, 0.5, 0.5]]
TVF_STDS = [[0.228515625, 0.2236328125, 0.224609375], [0.5, 0.5, 0.5]]
NATIVE_MEANS = [[0.485, 0.456, 0.406], [0.5, 0.5, 0.5]]
NATIVE_STDS = [[0.229, 0.224, 0.225], [0.5, 0.5, 0.5]]


@dataclass(kw_only=True)
class Model:
    """What a training run would have in memory, timm's names throughout; everything that timm has, also unused."""

    preset: Preset
    encoders: list[State]
    projector: State
    language: State = field(default_factory=dict)


def make_model(preset: Preset, *, seed: int = 0, dtype: torch.dtype = torch.bfloat16, out_width: int = 64) -> Model:
    """Seeded values for everything that executes and everything that does not."""
    backbone = build_backbone(preset)
    fill_random(backbone, seed=seed)
    projector = build_projector(projector_widths(preset.width, len(preset.encoders), out_width))
    fill_random(projector, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed + 2)
    return Model(
        preset=preset,
        encoders=[
            {
                **{name: tensor.to(dtype) for name, tensor in backbone.encoders[spec.name].state_dict().items()},
                **{name: torch.rand(shape, generator=generator).to(dtype) for name, shape in behind(spec).items()},
            }
            for spec in preset.encoders
        ],
        projector={name: tensor.to(dtype) for name, tensor in projector.state_dict().items()},
        language={
            "model.embed_tokens.weight": torch.rand(100, 32, generator=generator).to(dtype),
            "model.layers.0.self_attn.q_proj.weight": torch.rand(32, 32, generator=generator).to(dtype),
            "lm_head.weight": torch.rand(100, 32, generator=generator).to(dtype),
        },
    )


def behind(spec: EncoderSpec) -> dict[str, tuple[int, ...]]:
    """Shapes of what timm has behind the block whose output is taken: last blocks, final norm, pooling head."""
    with torch.device("meta"):
        whole = VisionTransformer(replace(spec, skipped_blocks=0, final_norm=True)).state_dict()
        executed = VisionTransformer(spec).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in whole.items() if name not in executed}
    if spec.name == "siglip":
        shapes |= {"attn_pool.latent": (1, 1, spec.width), "attn_pool.q.weight": (spec.width, spec.width)}
    return shapes


def write_openvla(
    folder: Path,
    model: Model,
    *,
    shards: int = 3,
    config: Mapping[str, Any] | None = None,
    preprocessor: Mapping[str, Any] | None = None,
    edit: Edit | None = None,
) -> Path:
    """Format A. The vision tensors are spread over all shards but the last, which holds language only."""
    folder.mkdir(parents=True, exist_ok=True)
    state = openvla_state(model)
    if edit is not None:
        edit(state)
    vision = [key for key in state if not key.startswith("language_model.")]
    language = [key for key in state if key.startswith("language_model.")]
    names = [f"model-{number + 1:05}-of-{shards:05}.safetensors" for number in range(shards)]
    mixed = max(shards - 1, 1)
    weight_map = {key: names[place * mixed // len(vision)] for place, key in enumerate(vision)}
    weight_map |= {key: names[0] if place == 0 else names[-1] for place, key in enumerate(language)}
    for name in names:
        save_file({key: state[key].contiguous() for key in state if weight_map[key] == name}, folder / name)
    size = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def openvla_state(model: Model) -> State:
    """Names as OpenVLA's conversion script gives them."""
    state: State = {}
    for prefix, encoder in zip(("featurizer", "fused_featurizer"), model.encoders, strict=False):
        for name, tensor in encoder.items():
            state[f"vision_backbone.{prefix}.{name.replace('.gamma', '.scale_factor')}"] = tensor
    state |= {f"projector.{name}": tensor for name, tensor in model.projector.items()}
    return state | {f"language_model.{name}": tensor for name, tensor in model.language.items()}


def openvla_config(**changes: Any) -> dict[str, Any]:
    """config.json of OpenVLA and OmniVLA, as far as it concerns vision."""
    config: dict[str, Any] = {
        "architectures": ["OpenVLAForActionPrediction"],
        "model_type": "openvla",
        "vision_backbone_id": "dinosiglip-vit-so-224px",
        "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
        "timm_override_act_layers": [None, None],
        "image_sizes": [224, 224],
        "image_resize_strategy": "resize-naive",
        "use_fused_vision_backbone": True,
        "torch_dtype": "bfloat16",
    }
    return config | changes


def openvla_preprocessor(**changes: Any) -> dict[str, Any]:
    """preprocessor_config.json of OpenVLA and OmniVLA."""
    size = 224
    config: dict[str, Any] = {
        "image_processor_type": "PrismaticImageProcessor",
        "image_resize_strategy": "resize-naive",
        "input_sizes": [[3, size, size], [3, size, size]],
        "interpolations": ["bicubic", "bicubic"],
        "means": NATIVE_MEANS,
        "stds": NATIVE_STDS,
        "tvf_crop_params": [{"output_size": [size, size]}] * 2,
        "tvf_do_letterbox": False,
        "tvf_letterbox_fill": None,
        "tvf_normalize_params": [
            {"inplace": False, "mean": mean, "std": std} for mean, std in zip(TVF_MEANS, TVF_STDS, strict=True)
        ],
        "tvf_resize_params": [{"antialias": True, "interpolation": 3, "max_size": None, "size": [size, size]}] * 2,
        "use_fused_vision_backbone": True,
    }
    return config | changes


def write_native(
    run_folder: Path,
    model: Model,
    *,
    config: Mapping[str, Any] | None = None,
    frozen: bool = False,
    ddp: bool = False,
    edit: Callable[[dict[str, State]], None] | None = None,
) -> Path:
    """Format B: a Prismatic run folder. Returns the .pt file."""
    names = ["dino_featurizer", "clip_featurizer" if model.preset.encoders[-1].name == "clip" else "siglip_featurizer"]
    names = names if len(model.encoders) == 2 else ["featurizer"]
    state: dict[str, State] = {
        "projector": {
            f"projector.{2 * (int(name[2]) - 1)}.{name.split('.')[1]}": tensor
            for name, tensor in model.projector.items()
        },
        "llm_backbone": {f"llm.{name}": tensor for name, tensor in model.language.items()},
    }
    if not frozen:
        state["vision_backbone"] = {
            f"{prefix}.{name}": tensor
            for prefix, encoder in zip(names, model.encoders, strict=True)
            for name, tensor in encoder.items()
        }
    if ddp:
        state = {
            part: {f"module.{name}": tensor for name, tensor in tensors.items()} for part, tensors in state.items()
        }
    if edit is not None:
        edit(state)
    file = run_folder / "checkpoints" / "latest-checkpoint.pt"
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": state}, file)
    if config is not None:
        (run_folder / "config.json").write_text(json.dumps(config))
    return file


def write_timm(file: Path, encoder: State, **config: Any) -> Path:
    """Format C: one model's .safetensors, and the config.json that the hub has beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in encoder.items()}, file)
    if config:
        (file.parent / "config.json").write_text(json.dumps(config))
    return file


def write_oft(
    folder: Path,
    model: Model,
    *,
    rank: int = 4,
    adapter: Mapping[str, Any] | None = None,
    ddp: bool = False,
    wrapped: bool = False,
    convolutions: bool = False,
    seed: int = 5,
    edit: Edit | None = None,
) -> tuple[Path, list[State]]:
    """Format D; `wrapped` as training with FiLM leaves it; `convolutions`: these are adapted, too.

    Returns the .pt file, and the adapted layers' `A` and `B` under timm's names, per encoder.
    """
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    adapters: list[State] = []
    for prefix, encoder in zip(("featurizer", "fused_featurizer"), model.encoders, strict=False):
        halves: State = {}
        for name, tensor in encoder.items():
            key = name.replace(".gamma", ".scale_factor")
            if wrapped:
                key = re.sub(r"^(blocks\.\d+)\.", r"\1.block.", key)
            layer, _, part = key.rpartition(".")
            adapted = layer.endswith((".qkv", ".proj", ".fc1", ".fc2", "attn_pool.q"))
            if not adapted or ("patch_embed" in layer and not convolutions):
                state[f"{prefix}.{key}"] = tensor
                continue
            state[f"{prefix}.{layer}.base_layer.{part}"] = tensor
            if part == "weight":
                ones = (1 for _ in tensor.shape[2:])
                halves[f"{name}.A"] = 0.05 * torch.randn(rank, *tensor.shape[1:], generator=generator)
                halves[f"{name}.B"] = 0.05 * torch.randn(tensor.shape[0], rank, *ones, generator=generator)
                state[f"{prefix}.{layer}.lora_A.default.weight"] = halves[f"{name}.A"]
                state[f"{prefix}.{layer}.lora_B.default.weight"] = halves[f"{name}.B"]
        adapters.append(halves)
    if wrapped:
        state = {f"vision_backbone.{key}": tensor for key, tensor in state.items()}
    if ddp:
        state = {f"module.{key}": tensor for key, tensor in state.items()}
    if edit is not None:
        edit(state)
    file = folder / "vision_backbone--1000_checkpoint.pt"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)
    if adapter is not None:
        (folder / "lora_adapter").mkdir()
        (folder / "lora_adapter" / "adapter_config.json").write_text(json.dumps(adapter))
    return file, adapters
