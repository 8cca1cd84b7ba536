"""What an adapter_config.json says: what is merged exactly is taken, everything else refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from omnivla_vision.checkpoint import errors, load_checkpoint
from test.checkpoint.adapters import write_adapter
from test.checkpoint.refusals import put, refused
from test.checkpoint.tiny import TINY
from test.checkpoint.writers import Model, make_model, write_openvla

QKV = "vision_backbone.featurizer.blocks.0.attn.qkv"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model(TINY, out_width=8)


@pytest.fixture
def base(model: Model, tmp_path: Path) -> Path:
    return write_openvla(tmp_path / "base", model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "LOHA"),
        ("use_dora", True),
        ("lora_bias", True),
        ("init_lora_weights", "pissa_niter_16"),
        ("alora_invocation_tokens", [1]),
    ],
)
def test_what_is_not_plain_lora(base: Path, model: Model, tmp_path: Path, key: str, value: object) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model, config={key: value})
    said = (CONFIG, f"{key}: found {value}; expected plain LoRA", "merge it with PEFT")
    refused(base, model, errors.UnsupportedAdapterError, *said, lora_adapter=adapter)


def test_biases_that_peft_did_not_save(base: Path, model: Model, tmp_path: Path) -> None:
    """PEFT 0.11 forgets those that `lora_only` trained; later ones save them."""
    adapter, _ = write_adapter(tmp_path / "adapter", model, config={"bias": "lora_only"})
    said = ("bias: found lora_only, and no bias in", WEIGHTS)
    refused(base, model, errors.UnsupportedAdapterError, *said, lora_adapter=adapter)
    bias = torch.full((24,), 0.5)
    write_adapter(adapter, model, config={"bias": "lora_only"}, edit=put(f"{QKV}.base_layer.bias", bias))
    found = load_checkpoint(base, preset=model.preset, lora_adapter=adapter)
    assert torch.equal(found.backbone_state["encoders.dinov2.blocks.0.attn.qkv.bias"], bias.bfloat16())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lora_alpha": "16"}, "found lora_alpha '16', r 4; expected two numbers"),
        ({"r": 0}, "r 0"),
        ({"rank_pattern": {"(": 4}}, "rank_pattern: found {'(': 4}; expected regular expressions"),
        ({"alpha_pattern": {"qkv": 0}}, "alpha_pattern: found {'qkv': 0}"),
        ({"alpha_pattern": ["qkv"]}, "alpha_pattern: found ['qkv']"),
    ],
)
def test_a_configuration_that_says_nothing(
    base: Path, model: Model, tmp_path: Path, config: dict[str, object], message: str
) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model, config=config)
    refused(base, model, errors.ConfigError, CONFIG, message, lora_adapter=adapter)


def test_another_alpha_than_configured(base: Path, model: Model, tmp_path: Path) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model)
    load_checkpoint(base, preset=model.preset, lora_adapter=adapter, lora_alpha=16)
    refused(base, model, errors.ConfigError, "found 16; expected 8, as given", lora_alpha=8, lora_adapter=adapter)


def test_patterns_that_peft_itself_reads_in_two_ways(base: Path, model: Model, tmp_path: Path) -> None:
    """PEFT 0.11 looks for both values under the first key that fits; later ones for each under its own."""
    patterns = {"rank_pattern": {"qkv": 4}, "alpha_pattern": {"attn.qkv": 2}}
    adapter, _ = write_adapter(tmp_path / "adapter", model, config=patterns)
    said = (f"{QKV}.lora_A.weight", "found patterns that give it alpha 2 or 16", "the same in both")
    refused(base, model, errors.LoraError, *said, lora_adapter=adapter)


def test_a_rank_that_is_not_the_configured_one(base: Path, model: Model, tmp_path: Path) -> None:
    adapter, _ = write_adapter(tmp_path / "adapter", model, config={"r": 32})
    refused(base, model, errors.LoraError, "found rank 4; expected r = 32", CONFIG, lora_adapter=adapter)
