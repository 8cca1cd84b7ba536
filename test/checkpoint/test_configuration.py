"""Which preset, normalization and resize a checkpoint gets, and where it says they came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.checkpoint.contents import Configured
from omnivla_vision.checkpoint.errors import ConfigError
from omnivla_vision.checkpoint.huggingface_config import configure_from, preset_of_config
from omnivla_vision.checkpoint.identify import PRISMATIC_IDS
from omnivla_vision.network.preprocessing_id import preprocessing_id
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.spec import Preset, Resize
from test.checkpoint.writers import (
    NATIVE_MEANS,
    TVF_MEANS,
    TVF_STDS,
    Model,
    openvla_config,
    openvla_preprocessor,
    write_native,
    write_oft,
    write_openvla,
    write_timm,
)

ROUNDED, NATIVE = tuple(TVF_MEANS[0]), tuple(NATIVE_MEANS[0])
SQUASH = {"antialias": True, "interpolation": 3, "max_size": None, "size": [224, 224]}
SHORTER = SQUASH | {"size": 224}


def configure(folder: Path, preprocessor: dict[str, Any], preset: str = "dinosiglip-224") -> Configured:
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return configure_from(folder)(get_preset(preset))


def of_config(folder: Path, config: dict[str, Any], encoders: int = 2) -> Preset | None:
    (folder / "config.json").write_text(json.dumps(config))
    return preset_of_config(folder, encoders)[0]


def without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


def test_the_rounded_values_win_over_those_they_came_from(tmp_path: Path) -> None:
    configured = configure(tmp_path, openvla_preprocessor())
    dinov2, siglip = configured.preset.encoders
    assert (dinov2.mean, dinov2.std) == (ROUNDED, tuple(TVF_STDS[0]))
    assert (siglip.mean, siglip.std) == ((0.5,) * 3, (0.5,) * 3)
    assert configured.normalization == "preprocessor_config.json (tvf_normalize_params)"
    assert configured.resize == "preprocessor_config.json (image_resize_strategy)"


def test_means_and_stds_count_where_there_is_nothing_else(tmp_path: Path) -> None:
    configured = configure(tmp_path, without(openvla_preprocessor(), "tvf_normalize_params"))
    assert configured.preset.encoders[0].mean == NATIVE
    assert configured.normalization == "preprocessor_config.json (means/stds)"


def test_a_config_without_any_leaves_the_presets(tmp_path: Path) -> None:
    configured = configure(tmp_path, {"image_processor_type": "PrismaticImageProcessor"})
    assert configured.preset == get_preset("dinosiglip-224")
    assert configured.normalization == "preset, for lack of means in preprocessor_config.json"
    assert configured.resize == "preset, for lack of image_resize_strategy in preprocessor_config.json"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Resize(strategy="resize-naive")),
        (
            {"image_resize_strategy": "letterbox", "tvf_do_letterbox": True, "tvf_letterbox_fill": [123, 116, 103]},
            Resize(strategy="letterbox", fill=(123, 116, 103)),
        ),
        # The processor pads once, with what it computed last: SigLIP's mean.
        (
            {"image_resize_strategy": "letterbox", "tvf_do_letterbox": True},
            Resize(strategy="letterbox", fill=(127,) * 3),
        ),
        (
            {"image_resize_strategy": "resize-crop", "tvf_resize_params": [SHORTER] * 2},
            Resize(strategy="resize-crop"),
        ),
        (
            {"interpolations": ["bilinear"] * 2, "tvf_resize_params": [SQUASH | {"interpolation": 2}] * 2},
            Resize(interpolation="bilinear"),
        ),
        ({"image_resize_strategy": None, "tvf_resize_params": [SHORTER] * 2}, Resize(strategy="resize-crop")),
        ({"image_resize_strategy": None, "tvf_do_letterbox": True}, Resize(strategy="letterbox", fill=(127,) * 3)),
        (
            {"tvf_resize_params": None, "tvf_do_letterbox": None, "interpolations": ["bilinear"] * 2},
            Resize(interpolation="bilinear"),
        ),
    ],
)
def test_the_resize_is_honoured(tmp_path: Path, changes: dict[str, Any], expected: Resize) -> None:
    configured = configure(tmp_path, openvla_preprocessor(**changes))
    assert [spec.resize for spec in configured.preset.encoders] == [expected, expected]
    assert len(configured.preset.inputs) == 1
    same = preprocessing_id(configured.preset) == preprocessing_id(get_preset("dinosiglip-224"))
    assert same == (expected == Resize())


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"image_resize_strategy": "stretch"}, "image_resize_strategy", "resize-naive, letterbox, resize-crop"),
        ({"tvf_do_letterbox": True}, "tvf_do_letterbox", "found True; expected False"),
        ({"tvf_resize_params": [SHORTER] * 2}, "tvf_resize_params[0].size", r"expected [224, 224]"),
        ({"image_resize_strategy": "resize-crop"}, "tvf_resize_params[0].size", "expected 224"),
        ({"tvf_resize_params": [SQUASH | {"size": [384, 384]}] * 2}, "tvf_resize_params[0].size", "[384, 384]"),
        ({"tvf_resize_params": [SQUASH | {"antialias": False}] * 2}, "tvf_resize_params[0].antialias", "PIL"),
        ({"tvf_resize_params": [SQUASH | {"interpolation": 1}] * 2}, "interpolations[0]", "'lanczos'"),
        ({"input_sizes": [[3, 224, 224], [3, 384, 384]]}, "input_sizes[1]", "expected [3, 224, 224]"),
        ({"input_sizes": [[3, 224, 224]]}, "input_sizes", "a list of 2"),
        ({"tvf_normalize_params": [{"mean": [0.5], "std": [0.5] * 3}] * 2}, "tvf_normalize_params[0]", "three finite"),
        (
            {"tvf_normalize_params": [{"mean": [0.5] * 3, "std": [0.5, 0.5, 0.0]}] * 2},
            "tvf_normalize_params[0]",
            "above 0",
        ),
        ({"tvf_normalize_params": {}}, "tvf_normalize_params", "a list of 2"),
        (
            {"image_resize_strategy": "letterbox", "tvf_do_letterbox": True, "tvf_letterbox_fill": [300, 0, 0]},
            "tvf_letterbox_fill",
            "0 to 255",
        ),
    ],
)
def test_a_preprocessor_config_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], key: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(tmp_path, openvla_preprocessor(**changes))
    assert caught.value.key == key
    assert message in str(caught.value)
    assert "preprocessor_config.json" in str(caught.value)
    assert "correct the file" in str(caught.value)


def test_every_prismatic_id_names_a_preset(tmp_path: Path) -> None:
    for identity, name in PRISMATIC_IDS.items():
        encoders = len(get_preset(name).encoders)
        preset = of_config(tmp_path, {"vision_backbone_id": identity}, encoders)
        assert preset is not None
        assert preset.name == name


def test_timms_ids_and_sizes_name_a_preset_too(tmp_path: Path) -> None:
    config = without(openvla_config(), "vision_backbone_id")
    preset = of_config(tmp_path, config)
    assert preset is not None
    assert preset.name == "dinosiglip-224"
    assert of_config(tmp_path, {"model_type": "llama"}) is None


def test_a_model_beyond_the_table_is_made_from_timms_configuration(timm: object, tmp_path: Path) -> None:
    config = {
        "vision_backbone_id": "in1k-vit-l",
        "timm_model_ids": ["vit_large_patch16_224.augreg_in21k_ft_in1k"],
        "image_sizes": [224],
    }
    preset = of_config(tmp_path, config, 1)
    assert preset is not None
    assert preset.name == "timm:vit_large_patch16_224.augreg_in21k_ft_in1k@224"


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"image_sizes": [384, 384]}, "image_sizes", "expected [224, 224]"),
        (
            {"timm_model_ids": ["vit_large_patch14_dinov2.lvd142m", "x"]},
            "timm_model_ids",
            "vit_large_patch14_reg4_dinov2",
        ),
        ({"use_fused_vision_backbone": False}, "use_fused_vision_backbone", "expected True"),
        ({"timm_override_act_layers": [None, "quick_gelu"]}, "timm_override_act_layers", "expected [None, 'gelu']"),
        (
            {"vision_backbone_id": "internvit-6b", "timm_model_ids": None, "image_sizes": None},
            "vision_backbone_id",
            "expected one of dinosiglip-vit-so-224px",
        ),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], key: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        of_config(tmp_path, openvla_config(**changes))
    assert caught.value.key == key
    assert message in str(caught.value)


def test_a_config_of_more_encoders_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a preset of 1 encoders"):
        of_config(tmp_path, openvla_config(), 1)


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_broken_json_is_refused(small_model: Model, tmp_path: Path, name: str, text: str) -> None:
    folder = write_openvla(tmp_path, small_model)
    (folder / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=rf"{name}: found .*; expected a JSON object; download it again"):
        load_checkpoint(folder, preset=small_model.preset)


def test_a_folder_without_configuration_gets_openvlas_normalization(openvla_model: Model, tmp_path: Path) -> None:
    loaded = load_checkpoint(write_openvla(tmp_path, openvla_model), preset=openvla_model.preset)
    assert loaded.preset.encoders[0].mean == ROUNDED
    assert loaded.sources["normalization"] == "preset dinosiglip-224"


def test_the_folders_own_normalization_is_in_force(openvla_model: Model, tmp_path: Path) -> None:
    params = [{"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}, {"mean": [0.5] * 3, "std": [0.5] * 3}]
    folder = write_openvla(tmp_path, openvla_model, preprocessor=openvla_preprocessor(tvf_normalize_params=params))
    loaded = load_checkpoint(folder, preset=openvla_model.preset)
    assert loaded.preset.encoders[0].mean == (0.1, 0.2, 0.3)
    assert loaded.preset.encoders[0].std == (0.4, 0.5, 0.6)


@pytest.mark.parametrize(
    ("config", "resizes", "source"),
    [
        (None, [Resize(), Resize()], "preset dinosiglip-224"),
        ({"vla": {"base_vlm": "prism-dinosiglip-224px+7b"}}, [Resize(), Resize()], "config.json"),
        (
            {"model": {"vision_backbone_id": "dinosiglip-vit-so-224px", "image_resize_strategy": "letterbox"}},
            [Resize(strategy="letterbox", fill=(123, 116, 103)), Resize(strategy="letterbox", fill=(127, 127, 127))],
            "config.json",
        ),
    ],
)
def test_native_checkpoints_get_timms_normalization(
    openvla_model: Model, tmp_path: Path, config: dict[str, Any] | None, resizes: list[Resize], source: str
) -> None:
    write_native(tmp_path, openvla_model, config=config)
    loaded = load_checkpoint(tmp_path, preset=openvla_model.preset)
    assert loaded.preset.encoders[0].mean == NATIVE
    assert loaded.sources["normalization"] == "timm's, as native checkpoints were trained"
    assert [spec.resize for spec in loaded.preset.encoders] == resizes
    assert loaded.sources["resize"] == source


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"vision_backbone_id": "clip-vit-b"}, "vision_backbone_id: found 'clip-vit-b'; expected one of dinosiglip"),
        (
            {"vision_backbone_id": "dinosiglip-vit-so-224px", "image_resize_strategy": "corner-pad"},
            "image_resize_strategy: found 'corner-pad'; expected one of resize-naive, letterbox, resize-crop",
        ),
    ],
)
def test_a_native_config_that_cannot_be_followed_is_refused(
    openvla_model: Model, tmp_path: Path, model: dict[str, str], message: str
) -> None:
    write_native(tmp_path, openvla_model, config={"model": model})
    with pytest.raises(ConfigError, match=message):
        load_checkpoint(tmp_path, preset=openvla_model.preset)


def test_stock_weights_get_timms_normalization(small_model: Model, openvla_model: Model, tmp_path: Path) -> None:
    for spec, encoder in zip(openvla_model.preset.encoders, openvla_model.encoders, strict=True):
        write_timm(tmp_path / f"{spec.timm_id}.safetensors", encoder)
    loaded = load_checkpoint(tmp_path, preset=openvla_model.preset)
    assert loaded.preset.encoders[0].mean == NATIVE


def test_an_oft_folders_configuration_is_honoured(openvla_model: Model, tmp_path: Path) -> None:
    write_oft(tmp_path, openvla_model, adapter={"r": 4, "lora_alpha": 4})
    (tmp_path / "config.json").write_text(json.dumps(openvla_config()))
    configuration = openvla_preprocessor(image_resize_strategy="resize-crop", tvf_resize_params=[SHORTER] * 2)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(configuration))
    loaded = load_checkpoint(tmp_path, preset=openvla_model.preset)
    assert loaded.preset.encoders[1].resize.strategy == "resize-crop"
    assert loaded.sources["normalization"] == "preprocessor_config.json (tvf_normalize_params)"
