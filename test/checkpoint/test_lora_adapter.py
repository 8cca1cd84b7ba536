"""LoRA adapters as PEFT saves them, over a base of any format: merged exactly as PEFT does it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file

from omnivla_vision.checkpoint import Checkpoint, load_checkpoint
from omnivla_vision.checkpoint.huggingface import PREFIXES
from omnivla_vision.checkpoint.ignored import ignored
from test.checkpoint.adapters import assert_close, merged_by_hand, tensors_of, write_adapter
from test.checkpoint.comparison import assert_equal
from test.checkpoint.tiny import TINY
from test.checkpoint.writers import Model, State, make_model, openvla_state, write_native, write_oft, write_openvla

BY_PEFT = Path(__file__).parent / "by_peft"
KINDS = ("plain", "patterns", "biases")


def load(base: Path = BY_PEFT / "model.safetensors", adapter: Path | None = None, **options: Any) -> Checkpoint:
    return load_checkpoint(base, preset=TINY, lora_adapter=adapter, **({"projector": True} | options))


@pytest.mark.parametrize("kind", KINDS)
def test_equals_what_peft_merges(kind: str) -> None:
    """Layers and convolutions; patterns and rank-stabilized; modules saved whole; biases: see `by_peft/make.py`."""
    base, found = tensors_of(load()), tensors_of(load(adapter=BY_PEFT / kind))
    by_peft = load_file(BY_PEFT / kind / "merged.safetensors")
    changed = {name for name in found if not torch.equal(found[name], base[name])}
    assert changed == by_peft.keys() & found.keys()  # what PEFT changes otherwise is behind the tokens
    assert len(changed) >= 10
    assert_close({name: found[name] for name in changed}, by_peft)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fingerprint_is_that_of_the_merged_checkpoint(kind: str, tmp_path: Path) -> None:
    found = load(adapter=BY_PEFT / kind)
    save_file(load_file(BY_PEFT / "model.safetensors") | tensors_of(found), tmp_path / "model.safetensors")
    again = load(tmp_path)
    assert (found.fingerprint, found.backbone_fingerprint) == (again.fingerprint, again.backbone_fingerprint)
    assert found.fingerprint != load().fingerprint


@pytest.fixture(scope="module")
def tiny_model() -> Model:
    """In bfloat16, as policies are."""
    return make_model(TINY, out_width=8)


def test_merges_in_float32_and_rounds_once(tiny_model: Model, tmp_path: Path) -> None:
    """Over formats A and B alike; what training saved whole, in float32, is rounded, too."""
    adapter, state = write_adapter(tmp_path / "adapter", tiny_model, saved=("projector.fc1.bias",))
    expected = merged_by_hand(openvla_state(tiny_model), state, scale=16 / 4)
    for base in (write_openvla(tmp_path / "a", tiny_model), write_native(tmp_path / "b", tiny_model)):
        exact, rounded = load(base, adapter, dtype=torch.float32), load(base, adapter)
        assert rounded.dtype == torch.bfloat16
        assert_close(tensors_of(exact), expected)
        assert_equal(tensors_of(rounded), {name: t.bfloat16() for name, t in tensors_of(exact).items()})
        save_file(openvla_state(tiny_model) | tensors_of(rounded), tmp_path / "model.safetensors")
        assert load(tmp_path / "model.safetensors").fingerprint == rounded.fingerprint == exact.fingerprint
        assert adapter / "adapter_model.safetensors" in rounded.files.states


def test_at_a_presets_own_shapes(openvla_model: Model, tmp_path: Path) -> None:
    """OmniVLA's widths, whose convolution has A [r, 3, 14, 14] and B [1024, r, 1, 1]."""
    layers = r"\.(patch_embed\.proj|blocks\.0\.attn\.qkv)$"
    adapter, state = write_adapter(
        tmp_path / "adapter", openvla_model, rank=8, layers=layers, config={"use_rslora": True}
    )
    convolution = "vision_backbone.featurizer.patch_embed.proj"
    assert state[f"{convolution}.lora_A.weight"].shape == (8, 3, 14, 14)
    assert state[f"{convolution}.lora_B.weight"].shape == (1024, 8, 1, 1)
    base = write_openvla(tmp_path / "a", openvla_model)
    found = tensors_of(load_checkpoint(base, preset=openvla_model.preset, lora_adapter=adapter, dtype=torch.float32))
    adapted = {
        name: t
        for name, t in openvla_state(openvla_model).items()
        if name.replace(".weight", ".lora_A.weight") in state
    }
    assert len(adapted) == 4
    assert_close({name: found[name] for name in adapted}, merged_by_hand(adapted, state, scale=16 / 8**0.5))


def test_a_pt_file_may_have_adapted_convolutions(tiny_model: Model, tmp_path: Path) -> None:
    """OpenVLA-OFT's backbone and PEFT's folder hold the same layers under two names."""
    _, halves = write_oft(tmp_path / "d", tiny_model, adapter={"r": 4, "lora_alpha": 6}, convolutions=True)
    state = {
        f"{prefix}{name.removesuffix('.weight.' + half)}.lora_{half}.weight": tensor
        for prefix, encoder in zip(PREFIXES, halves, strict=True)
        for name, tensor in encoder.items()
        for half in name[-1]
    }
    assert "vision_backbone.fused_featurizer.patch_embed.proj.lora_B.weight" in state
    adapter, _ = write_adapter(tmp_path / "x", tiny_model, config={"lora_alpha": 6}, edit=lambda to: _become(to, state))
    d = load(tmp_path / "d", projector=False, dtype=torch.float32)
    a = load(write_openvla(tmp_path / "a", tiny_model), adapter, projector=False, dtype=torch.float32)
    assert_close(tensors_of(d), merged_by_hand(openvla_state(tiny_model), state, scale=6 / 4))
    assert_equal(d.backbone_state, a.backbone_state)
    assert d.fingerprint == a.fingerprint
    assert d.adapter is not None
    assert d.adapter.path.endswith("vision_backbone--1000_checkpoint.pt")
    assert d.adapter.layers == {"dinov2": 5, "siglip": 5}


def _become(state: State, other: State) -> None:
    state.clear()
    state.update(other)


def test_a_pt_file_knows_patterns(tiny_model: Model, tmp_path: Path) -> None:
    """They match names of the whole model, of which the file has the ends."""
    # Where the file's own name begins, PEFT's pattern needs a dot before it.
    patterns = {"alpha_pattern": {r"featurizer\.blocks\.\d\.mlp\.fc1": 2}}
    write_oft(tmp_path, tiny_model, adapter={"r": 4, "lora_alpha": 16} | patterns)
    found = load(tmp_path, projector=False)
    assert found.adapter is not None
    assert (found.adapter.alphas, found.adapter.scales) == ((2.0, 16.0), (0.5, 4.0))


def test_what_was_merged_is_known() -> None:
    found = load(adapter=BY_PEFT / "patterns")
    assert found.warnings == ()
    adapter = found.adapter
    assert adapter is not None
    assert adapter.path == str(BY_PEFT / "patterns")
    assert (adapter.ranks, adapter.alphas) == ((2, 3, 4), (5.0, 6.0, 7.0, 16.0))
    assert adapter.layers == {"dinov2": 3, "siglip": 3}
    assert adapter.saved == {"dinov2": 2, "siglip": 2, "projector": 6}
    assert adapter.ignored == (
        "vision_backbone.featurizer.* behind the tokens (4 weights)",
        "vision_backbone.fused_featurizer.* behind the tokens (4 weights)",
        "language_model.* (1 weights)",
    )
    assert load().adapter is None


def test_an_adapter_of_the_language_model_alone(tiny_model: Model, tmp_path: Path) -> None:
    base = write_openvla(tmp_path / "a", tiny_model)
    adapter, _ = write_adapter(tmp_path / "adapter", tiny_model, layers=r"^language_model\.")
    found = load(base, adapter)
    assert found.warnings == (f"{adapter} adapts nothing that is executed: the tokens are the base's",)
    assert found.fingerprint == load(base).fingerprint
    assert found.adapter is not None
    assert (found.adapter.layers, found.adapter.ranks) == ({}, ())


def test_one_encoder_alone_may_be_adapted(tiny_model: Model, tmp_path: Path) -> None:
    base = write_openvla(tmp_path / "a", tiny_model)
    adapter, _ = write_adapter(tmp_path / "adapter", tiny_model, layers=r"\.fused_featurizer\.blocks\.0\.mlp")
    found = load(base, adapter)
    assert found.adapter is not None
    assert found.adapter.layers == {"siglip": 2}
    assert found.warnings == ()


def test_a_model_of_one_encoder(tiny_model: Model, tmp_path: Path) -> None:
    """SigLIP alone is `featurizer`."""
    alone = replace(TINY, encoders=TINY.encoders[1:])
    model = replace(tiny_model, preset=alone, encoders=tiny_model.encoders[1:], projector={})
    adapter, state = write_adapter(tmp_path / "adapter", model)
    base = write_openvla(tmp_path / "a", model)
    found = load_checkpoint(base, preset=alone, lora_adapter=adapter, dtype=torch.float32)
    key = "vision_backbone.featurizer.blocks.0.attn.qkv.weight"
    expected = merged_by_hand(openvla_state(model), state, scale=16 / 4)[key]
    assert_close({key: found.backbone_state["encoders.siglip.blocks.0.attn.qkv.weight"]}, {key: expected})


def test_an_adapter_beside_its_shards(tiny_model: Model, tmp_path: Path) -> None:
    """Used only when it is named; then the danger is that training had merged it already."""
    base = write_openvla(tmp_path / "a", tiny_model)
    adapter, _ = write_adapter(base / "lora_adapter", tiny_model)
    unused, used = load(base), load(base, adapter)
    assert unused.adapter is None
    assert used.fingerprint != unused.fingerprint
    assert "give it with --lora-adapter (parameter lora_adapter)" in unused.warnings[0]
    assert "it counts twice" in used.warnings[0]
    name = str(Path("lora_adapter", "adapter_model.safetensors"))
    assert (name in ignored(unused), name in ignored(used)) == (True, False)
    elsewhere = shutil.copytree(adapter, tmp_path / "elsewhere")
    assert load(base, elsewhere).warnings == ()
