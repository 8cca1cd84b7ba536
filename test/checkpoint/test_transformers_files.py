"""Encoders as transformers saves them, against transformers' own models with random weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.checkpoint.errors import (
    CheckpointError,
    ConfigError,
    LoraError,
    MissingShardError,
    MissingTensorError,
    ShapeMismatchError,
)
from omnivla_vision.checkpoint.namings import DINOV2
from omnivla_vision.checkpoint.transformers_config import preset_beside
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.random_weights import fill_random
from omnivla_vision.network.spec import EncoderSpec, Preset
from test.checkpoint.comparison import assert_equal
from test.presets import shallow

MAX_RELATIVE_ERROR = 1e-5
ACTIVATIONS = {"gelu": "gelu", "swiglu": "silu", "gelu_tanh": "gelu_pytorch_tanh"}


def narrow_siglip(patch_size: int = 14, grid: int = 5) -> Preset:
    """SigLIP as transformers computes it, with the structure of the real one; SigLIP 2 has also patches of 16."""
    (spec,) = get_preset("siglip-hf-384").encoders
    size = ImageSize.square(patch_size * grid)
    spec = replace(spec, image_size=size, patch_size=patch_size, width=96, heads=4, mlp_width=200, depth=3)
    return Preset(name="narrow", encoders=(spec,))


def to_its_end(preset: Preset) -> Preset:
    return replace(preset, encoders=tuple(replace(s, skipped_blocks=0, final_norm=True) for s in preset.encoders))


def config_of(spec: EncoderSpec) -> dict[str, Any]:
    gated = spec.activation == "swiglu"
    common = {
        "hidden_size": spec.width,
        "num_hidden_layers": spec.depth,
        "num_attention_heads": spec.heads,
        "intermediate_size": spec.mlp_width // (2 if gated else 1),
        "patch_size": spec.patch_size,
        "image_size": spec.image_size.height,
        "hidden_act": ACTIVATIONS[spec.activation],
    }
    return common | ({"num_register_tokens": 4, "use_gated_mlp": gated} if spec.name == "dinov3" else {})


def randomize(model: nn.Module) -> nn.Module:
    fill_random(model.requires_grad_(False), seed=5)
    for name, parameter in model.named_parameters():
        if name.endswith("lambda1"):  # DINOv3's LayerScale
            parameter += 0.2
    return model.eval()


def model_of(transformers: ModuleType, spec: EncoderSpec) -> Any:
    config = config_of(spec)
    if spec.name == "dinov3":
        return randomize(transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**config)))
    return randomize(transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**config)))


def picture(spec: EncoderSpec) -> Tensor:
    return torch.randn(1, 3, *spec.image_size, generator=torch.Generator().manual_seed(6))


def dinov3(size: str, image_size: int) -> Preset:
    preset = shallow(f"dinov3-{size}-224")
    return replace(preset, encoders=(replace(preset.encoders[0], image_size=ImageSize.square(image_size)),))


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(dinov3("s", 224), id="dinov3-s-224"),
        pytest.param(dinov3("s", 384), id="dinov3-s-384"),
        pytest.param(dinov3("splus", 224), id="dinov3-splus-224"),
        pytest.param(narrow_siglip(14), id="siglip"),
        pytest.param(narrow_siglip(16), id="siglip2"),
    ],
)
def test_tokens_equal_transformers(transformers: ModuleType, preset: Preset, tmp_path: Path) -> None:
    (spec,) = preset.encoders
    model = model_of(transformers, spec)
    model.save_pretrained(tmp_path)
    image = picture(spec)
    with torch.inference_mode():
        expected = model(image).last_hidden_state[:, spec.prefix_tokens :]
    loaded = load_checkpoint(tmp_path, preset=to_its_end(preset))
    assert loaded.format == "C: transformers .safetensors"
    (tokens,) = loaded.backbone()(image)
    assert expected.abs().mean() > 0.1
    assert ((tokens - expected).abs().max() / expected.abs().max()).item() <= MAX_RELATIVE_ERROR


def test_a_whole_siglip_has_its_vision_taken(transformers: ModuleType, tmp_path: Path) -> None:
    (spec,) = narrow_siglip().encoders
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 9, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.SiglipConfig(text_config=text, vision_config=config_of(spec))
    whole = randomize(transformers.SiglipModel(config))
    whole.save_pretrained(tmp_path / "whole")
    assert any(name.startswith("vision_model.") for name in load_file(tmp_path / "whole" / "model.safetensors"))
    whole.vision_model.save_pretrained(tmp_path / "vision")
    states = [load_checkpoint(tmp_path / part, preset=narrow_siglip()).backbone_state for part in ("whole", "vision")]
    assert_equal(*states)


@pytest.mark.parametrize(
    "prefix", ["model.vlm_with_expert.vlm.model.", "model.vision_tower.", "vision_tower.", "model.", ""]
)
def test_the_vision_of_a_larger_model_is_taken_alone(transformers: ModuleType, prefix: str, tmp_path: Path) -> None:
    """SmolVLA's, LLaVA's, SmolVLM's and SigLIP's files; their other tensors may be called as in the vision."""
    preset = narrow_siglip()
    state = dict(model_of(transformers, preset.encoders[0]).state_dict())
    plain = {name.removeprefix("vision_model."): tensor for name, tensor in state.items()}
    save_file(plain, tmp_path / "plain.safetensors")
    others = {f"{prefix}text_model.layers.0.norm1.weight": torch.ones(3), "lm_head.weight": torch.ones(3)}
    inside = {f"{prefix}vision_model.{name}": tensor for name, tensor in plain.items()}
    save_file({**inside, **others}, tmp_path / "whole.safetensors")
    states = [
        load_checkpoint(tmp_path / f"{kind}.safetensors", preset=preset).backbone_state for kind in ("plain", "whole")
    ]
    assert_equal(*states)


def test_shards_are_read_as_one_file(transformers: ModuleType, tmp_path: Path) -> None:
    """Of a larger model only those with vision in them: the others need not be there."""
    preset = narrow_siglip()
    model = model_of(transformers, preset.encoders[0])
    model.save_pretrained(tmp_path / "whole")
    state = load_file(tmp_path / "whole" / "model.safetensors")
    names = sorted(state)
    (tmp_path / "shards").mkdir()
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    weight_map = {"language_model.layers.0.weight": "model-3.safetensors"}
    for file, held in parts.items():
        prefixed = {f"vision_tower.vision_model.{name.removeprefix('vision_model.')}": state[name] for name in held}
        save_file(prefixed, tmp_path / "shards" / file)
        weight_map |= dict.fromkeys(prefixed, file)
    index = tmp_path / "shards" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    whole = load_checkpoint(tmp_path / "whole", preset=preset)
    for path in (index, index.parent):
        assert_equal(load_checkpoint(path, preset=preset).backbone_state, whole.backbone_state)
        assert load_checkpoint(path, preset=preset).fingerprint == whole.fingerprint
    (tmp_path / "shards" / "model-2.safetensors").unlink()
    with pytest.raises(MissingShardError, match=r"no file model-2\.safetensors"):
        load_checkpoint(index.parent, preset=preset)


@pytest.mark.parametrize("gated", [False, True])
def test_dinov2_equals_transformers(transformers: ModuleType, gated: bool, tmp_path: Path) -> None:
    config = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 14, "image_size": 56}
    model = transformers.Dinov2Model(transformers.Dinov2Config(**config, use_swiglu_ffn=gated))
    randomize(model).save_pretrained(tmp_path)
    spec = replace(
        get_preset("dinov2-g-224" if gated else "dinov2-s-224").encoders[0],
        image_size=ImageSize.square(56),
        width=48,
        depth=2,
        heads=4,
        mlp_width=256 if gated else 192,
        skipped_blocks=0,
        final_norm=True,
    )
    image = picture(spec)
    with torch.no_grad():
        expected = model(image).last_hidden_state[:, 1:]
    (tokens,) = load_checkpoint(tmp_path, preset=Preset(name="narrow", encoders=(spec,))).backbone()(image)
    assert ((tokens - expected).abs().max() / expected.abs().max()).item() <= MAX_RELATIVE_ERROR


@pytest.mark.parametrize("legacy", [("attention.attention.query", "q_proj"), ("attention.output.dense", "o_proj")])
def test_dinov2_is_read_under_the_names_of_the_hub(legacy: tuple[str, str]) -> None:
    """What transformers calls q_proj in memory since its version 5 has another name in files."""
    found = [DINOV2.part(name) or DINOV2.rename(name) for name in (
        f"encoder.layer.3.{legacy[0]}.weight", f"encoder.layer.3.attention.{legacy[1]}.weight"
    )]  # fmt: skip
    assert found[0] == found[1]
    assert "blocks.3.attn." in str(found[0])


# timm's names in transformers' words, by hand; the only other place that knows both is what is tested.
_DINOV3 = [
    (r"blocks\.(\d+)\.", r"layer.\1."),
    (r"gamma_(\d)", r"layer_scale\1.lambda1"),
    (r"attn\.proj", "attention.o_proj"),
    (r"mlp\.fc1_g", "mlp.gate_proj"),
    (r"mlp\.fc1(_x)?", "mlp.up_proj"),
    (r"mlp\.fc2", "mlp.down_proj"),
    (r"patch_embed\.proj", "embeddings.patch_embeddings"),
    (r"cls_token", "embeddings.cls_token"),
    (r"reg_token", "embeddings.register_tokens"),
]
_SIGLIP = [
    (r"blocks\.(\d+)\.", r"vision_model.encoder.layers.\1."),
    (r"\.norm(\d)", r".layer_norm\1"),
    (r"attn\.proj", "self_attn.out_proj"),
    (r"^norm\.", "vision_model.post_layernorm."),
    (r"patch_embed\.proj", "vision_model.embeddings.patch_embedding"),
]


def in_transformers_words(state: dict[str, Tensor]) -> dict[str, Tensor]:
    told: dict[str, Tensor] = {}
    siglip = "pos_embed" in state
    for name, tensor in state.items():
        if name.startswith("attn_pool"):
            continue
        if name == "pos_embed":
            told["vision_model.embeddings.position_embedding.weight"] = tensor[0].contiguous()
            continue
        for pattern, target in _SIGLIP if siglip else _DINOV3:
            name = re.sub(pattern, target, name)
        if "attn.qkv" in name:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                told[name.replace("attn.qkv", f"{'self_attn' if siglip else 'attention'}.{letter}_proj")] = part.clone()
        else:
            told[name] = tensor
    return told


def timm_state(timm: ModuleType, architecture: str, **numbers: Any) -> dict[str, Tensor]:
    model = randomize(timm.create_model(architecture, pretrained=False, num_classes=0, **numbers))
    return {name: tensor.bfloat16() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("preset", "numbers"),
    [
        pytest.param(dinov3("s", 224), {}, id="dinov3-s"),
        pytest.param(dinov3("splus", 224), {}, id="dinov3-splus"),
        pytest.param(narrow_siglip(), {"embed_dim": 96, "num_heads": 4, "mlp_ratio": 200 / 96}, id="siglip"),
    ],
)
def test_the_same_weights_have_the_same_fingerprint(
    timm: ModuleType, preset: Preset, numbers: dict[str, Any], tmp_path: Path
) -> None:
    (spec,) = preset.encoders
    state = timm_state(timm, spec.architecture, img_size=tuple(spec.image_size), depth=spec.depth, **numbers)
    save_file(state, tmp_path / "timm.safetensors")
    theirs = in_transformers_words(state)
    save_file(theirs, tmp_path / "transformers.safetensors")
    assert not theirs.keys() & state.keys() - {"norm.weight", "norm.bias"}
    one, other = (load_checkpoint(tmp_path / f"{kind}.safetensors", preset=preset) for kind in ("timm", "transformers"))
    assert one.fingerprint == other.fingerprint
    assert one.dtype == other.dtype == torch.bfloat16
    assert_equal(one.backbone_state, other.backbone_state)
    if spec.name == "dinov3":
        # transformers writes the zeros out, of queries and values.
        zeros = torch.zeros(spec.width, dtype=torch.bfloat16)
        theirs |= {f"layer.{n}.attention.{p}_proj.bias": zeros.clone() for n in range(spec.depth) for p in "qv"}
        save_file(theirs, tmp_path / "zeros.safetensors")
        assert load_checkpoint(tmp_path / "zeros.safetensors", preset=preset).fingerprint == one.fingerprint


def without(key: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.pop(key)


def halved(key: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.update({key: state[key][::2].clone()})


@pytest.mark.parametrize(
    ("kind", "change", "error", "message"),
    [
        ("dinov3", without("layer.1.attention.k_proj.weight"), MissingTensorError, "3 tensors, which are blocks.1"),
        ("dinov3", without("layer.1.attention.v_proj.bias"), MissingTensorError, "blocks.1.attn.qkv.bias"),
        ("dinov3", without("layer.0.mlp.up_proj.bias"), MissingTensorError, "mlp.fc1.bias"),
        ("dinov3", halved("layer.0.attention.k_proj.weight"), ShapeMismatchError, "beside it has"),
        ("siglip", without("encoder.layers.0.self_attn.q_proj.bias"), MissingTensorError, "attn.qkv.bias"),
        ("siglip", without("post_layernorm.weight"), MissingTensorError, "norm.weight"),
        ("siglip", without("encoder.layers.2.mlp.fc1.weight"), MissingTensorError, "blocks.2.mlp.fc1.weight"),
    ],
)
def test_a_damaged_file_is_refused(
    transformers: ModuleType,
    kind: str,
    change: Callable[[dict[str, Tensor]], object],
    error: type[CheckpointError],
    message: str,
    tmp_path: Path,
) -> None:
    preset = dinov3("s", 224) if kind == "dinov3" else narrow_siglip()
    model_of(transformers, preset.encoders[0]).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file)
    with pytest.raises(error, match=re.escape(message)):
        load_checkpoint(tmp_path, preset=to_its_end(preset))


# The config.json of released models, whose files leave out what is a default.
RELEASED = {
    "dinov3-s-224": {"model_type": "dinov3_vit", "num_register_tokens": 4},
    "dinov3-splus-224": {
        "model_type": "dinov3_vit",
        "num_register_tokens": 4,
        "use_gated_mlp": True,
        "hidden_act": "silu",
    },
    "siglip-hf-384": {
        "model_type": "siglip",
        "vision_config": {
            "hidden_size": 1152,
            "image_size": 384,
            "intermediate_size": 4304,
            "model_type": "siglip_vision_model",
            "num_attention_heads": 16,
            "num_hidden_layers": 27,
            "patch_size": 14,
        },
    },
    "": {"model_type": "siglip_vision_model"},  # the base model, which the table does not have
}


@pytest.mark.parametrize("name", RELEASED)
def test_config_json_names_the_preset(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(RELEASED[name]))
    found = preset_beside(tmp_path / "model.safetensors")
    assert (found.name if found else "") == name


def test_another_models_config_is_refused(transformers: ModuleType, tmp_path: Path) -> None:
    model_of(transformers, narrow_siglip().encoders[0]).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "siglip2"}))
    with pytest.raises(ConfigError, match=r"'siglip2'.*expected one of dinov3_vit, siglip_vision_model, siglip"):
        load_checkpoint(tmp_path, preset=narrow_siglip())


@pytest.mark.parametrize(("std", "message"), [([0.5, 0.25, 0.2], ""), ([0.5, 0.0, 0.2], "deviations above 0")])
def test_means_are_the_folders_own(transformers: ModuleType, std: list[float], message: str, tmp_path: Path) -> None:
    model_of(transformers, narrow_siglip().encoders[0]).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": std}))
    if message:
        with pytest.raises(ConfigError, match=message):
            load_checkpoint(tmp_path, preset=narrow_siglip())
        return
    loaded = load_checkpoint(tmp_path, preset=narrow_siglip())
    (spec,) = loaded.preset.encoders
    assert (spec.mean, spec.std) == ((0.1, 0.2, 0.3), tuple(std))
    assert loaded.sources["normalization"] == "preprocessor_config.json"


def test_a_pair_of_folders(transformers: ModuleType, tmp_path: Path) -> None:
    """DINOv3 first: the two on one grid."""
    (first,), (second,) = dinov3("s", 224).encoders, narrow_siglip(16, grid=14).encoders
    preset = Preset(name="pair", encoders=(first, second))
    for spec in (first, second):
        model_of(transformers, spec).save_pretrained(tmp_path / spec.name)
    loaded = load_checkpoint(f"{tmp_path / 'dinov3'}+{tmp_path / 'siglip'}", preset=preset)
    assert [part.name for part in loaded.parts] == ["dinov3", "siglip"]
    images = torch.cat([picture(first), picture(second)], dim=1)
    shapes = [tuple(part.shape) for part in loaded.backbone()(images)]
    assert shapes == [(1, 196, first.width), (1, 196, second.width)]


def test_an_openvla_adapter_does_not_fit(transformers: ModuleType, tmp_path: Path) -> None:
    """Its layer is q, k and v in one, and the base has three."""
    preset = narrow_siglip()
    model_of(transformers, preset.encoders[0]).save_pretrained(tmp_path / "base")
    layer, width = "base_model.model.vision_backbone.featurizer.blocks.0.attn.qkv", preset.width
    (tmp_path / "adapter").mkdir()
    halves = {f"{layer}.lora_A.weight": torch.ones(2, width), f"{layer}.lora_B.weight": torch.ones(3 * width, 2)}
    save_file(halves, tmp_path / "adapter" / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": "all-linear"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(LoraError, match="an adapter for a tensor that is several in model"):
        load_checkpoint(tmp_path / "base", preset=preset, lora_adapter=tmp_path / "adapter")
