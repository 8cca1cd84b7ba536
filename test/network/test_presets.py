"""The table against timm's own configuration, and presets made from it."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from types import ModuleType

import pytest

pytest.importorskip("torch")

from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.presets import PRESETS, UnknownPresetError, get_preset, native_normalization
from omnivla_vision.network.spec import EncoderSpec, GridMismatchError
from omnivla_vision.network.timm_presets import (
    TimmMissingError,
    UnknownTimmModelError,
    UnsupportedTimmModelError,
    timm_encoder,
)

# What the table has otherwise than timm, and why it must.
DIFFERENCES = {
    "dinosiglip-224": {"mean", "std"},  # OpenVLA's, rounded to bfloat16
    "dinoclip-336": {"activation"},  # as OpenAI trained CLIP
    "clip-l-224": {"activation"},
    "clip-l-336": {"activation"},
    "siglip-hf-224": {"activation", "skipped_blocks", "final_norm"},  # as transformers runs it
    "siglip-hf-384": {"activation", "skipped_blocks", "final_norm"},
    "pi0-siglip-224": {"activation", "skipped_blocks", "final_norm", "resize"},  # as openpi runs it
    "robottrack-384": {"activation", "skipped_blocks", "final_norm"},  # as transformers runs them
    "navdp-224": {"skipped_blocks", "final_norm", "position_resize"},  # as DINOv2's own code runs it
    "navila-384": {"activation"},  # as transformers runs it
    "smolvla-512": {"activation", "skipped_blocks", "final_norm"},
    "citywalker-350x630": {"skipped_blocks", "final_norm", "position_resize", "class_output"},
}
ENCODERS = [pytest.param(name, spec, id=f"{name}-{spec.name}") for name in PRESETS for spec in PRESETS[name].encoders]


@pytest.mark.parametrize(("name", "spec"), ENCODERS)
def test_the_table_has_timms_numbers(timm: ModuleType, name: str, spec: EncoderSpec) -> None:
    theirs = timm_encoder(spec.timm_id, spec.image_size)
    different = {item.name for item in fields(spec) if getattr(spec, item.name) != getattr(theirs, item.name)}
    assert different <= DIFFERENCES.get(name, set())


@pytest.mark.parametrize(
    ("name", "width", "tokens"),
    [
        ("dinosiglip-224", 2176, 256),
        ("dinosiglip-384", 2176, 729),
        ("dinoclip-336", 2048, 576),
        ("siglip-224", 1152, 256),
        ("siglip-384", 1152, 729),
        ("dinov2-s-224", 384, 256),
        ("dinov2-b-reg4-224", 768, 256),
        ("dinov2-l-224", 1024, 256),
        ("dinov2-g-reg4-224", 1536, 256),
        ("dinov3-s-224", 384, 196),
        ("dinov3-splus-224", 384, 196),
        ("dinov3-b-224", 768, 196),
        ("dinov3-l-224", 1024, 196),
        ("siglip-hf-224", 1152, 256),
        ("siglip-hf-384", 1152, 729),
        ("clip-l-224", 1024, 256),
        ("clip-l-336", 1024, 576),
        ("siglip2-so400m-224", 1152, 256),
        ("siglip2-so400m-378", 1152, 729),
        ("siglip2-so400m-p16-256", 1152, 256),
        ("siglip2-so400m-p16-384", 1152, 576),
        ("siglip2-so400m-p16-512", 1152, 1024),
        ("pi0-siglip-224", 1152, 256),
        ("small", 1152, 256),
        ("robottrack-384", 1536, 576),
        ("navdp-224", 384, 256),
        ("navila-384", 1152, 729),
        ("smolvla-512", 768, 1024),
        ("citywalker-350x630", 768, 1125),
    ],
)
def test_tokens_have_the_documented_sizes(name: str, width: int, tokens: int) -> None:
    preset = get_preset(name)
    assert (preset.width, preset.tokens_per_image) == (width, tokens)


def test_the_layer_rule() -> None:
    assert [spec.block for spec in get_preset("dinosiglip-224").encoders] == [22, 25]
    assert [spec.block for spec in get_preset("pi0-siglip-224").encoders] == [26]


def test_native_normalization_is_timms() -> None:
    native = native_normalization(get_preset("dinosiglip-224"))
    assert native.encoders[0].mean == (0.485, 0.456, 0.406)
    assert native.encoders[0].std == (0.229, 0.224, 0.225)
    assert native.encoders[1].mean == (0.5, 0.5, 0.5)
    assert native_normalization(get_preset("clip-l-224")) == get_preset("clip-l-224")


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(UnknownPresetError) as caught:
        get_preset("dinosiglip")
    assert all(name in str(caught.value) for name in PRESETS)


def test_a_pair_from_timm(timm: ModuleType) -> None:
    name = "timm:vit_large_patch14_reg4_dinov2.lvd142m@224+vit_so400m_patch14_siglip_224.webli"
    preset, known = get_preset(name), get_preset("dinosiglip-224")
    assert preset.name == name
    assert preset.encoders == native_normalization(known).encoders


def test_dinov3_from_timm(timm: ModuleType) -> None:
    (spec,) = get_preset("timm:vit_small_plus_patch16_dinov3.lvd1689m@384").encoders
    (known,) = get_preset("dinov3-splus-224").encoders
    assert spec == replace(known, image_size=ImageSize.square(384))


def test_a_rectangle_from_timm(timm: ModuleType) -> None:
    preset = get_preset("timm:vit_base_patch14_dinov2.lvd142m@350x630")
    (known,) = get_preset("dinov2-b-224").encoders
    assert preset.encoders == (replace(known, image_size=ImageSize(350, 630)),)
    assert preset.grid == (25, 45)


def test_two_encoders_of_one_family_are_told_apart(timm: ModuleType) -> None:
    preset = get_preset("timm:vit_base_patch16_224.dino+vit_small_patch16_224.dino")
    assert [spec.name for spec in preset.encoders] == ["vit_base_patch16_224_0", "vit_small_patch16_224_1"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("naflexvit_base_patch16_siglip", UnsupportedTimmModelError, "NaFlex.*choose the fixed-resolution model"),
        ("eva02_base_patch14_224", UnsupportedTimmModelError, "class Eva with positions of class RotaryEmbeddingCat"),
        ("vit_small_patch16_rope_mixed_224", UnsupportedTimmModelError, "class Eva with positions of .*Mixed"),
        ("deit_base_distilled_patch16_224", UnsupportedTimmModelError, "class VisionTransformerDistilled"),
        ("vit_base_patch16_rpn_224", UnsupportedTimmModelError, "blocks of class ResPostBlock"),
        ("vit_so150m2_patch16_reg1_gap_256", UnsupportedTimmModelError, "blocks.0.attn.qkv.bias"),
        ("vit_medium_patch16_gap_240", UnsupportedTimmModelError, "blocks.0.attn.qkv.bias"),
        ("resnet50", UnsupportedTimmModelError, "cannot build it at a fixed input size"),
        ("vit_gigantic_patch14_dinov7", UnknownTimmModelError, "knows no model .*close names: .*dinov2"),
        ("vit_base_patch16_224@large", UnknownTimmModelError, "expected pixels, as in vit_base_patch16_224@224"),
        ("vit_base_patch16_224@224x", UnknownTimmModelError, "found input size '224x'.* or .*@350x630"),
        ("hf-hub:timm/vit_base_patch16_224", UnknownTimmModelError, "knows no model"),
    ],
)
def test_what_the_network_cannot_express_is_refused_by_name(
    timm: ModuleType, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        get_preset(f"timm:{name}")
    assert name.partition("@")[0] in str(caught.value)


def test_grids_that_differ_are_refused_with_sizes_that_would_do(timm: ModuleType) -> None:
    pair = "vit_large_patch14_reg4_dinov2.lvd142m+vit_so400m_patch14_siglip_224.webli"
    with pytest.raises(GridMismatchError, match=r"37x37 of .* and 16x16 of .*expected the same grid") as caught:
        get_preset(f"timm:{pair}")
    advice = str(caught.value).rpartition("example ")[2]
    assert get_preset(advice).grid == (16, 16)


def test_without_timm_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(TimmMissingError, match="pip install 'timm"):
        get_preset("timm:vit_base_patch16_224")
    assert get_preset("dinosiglip-224").width == 2176  # the table needs no timm
