"""The same policy with its own vision and on tokens: the same outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

import torch

from omnivla_vision.goal import Goal
from omnivla_vision.network.outputs import Output, get_pooling
from omnivla_vision.network.presets import PRESETS, get_preset
from omnivla_vision.policy import (
    ConditionedVisionError,
    ModelError,
    NotTokensError,
    RandomWeightsError,
    SeveralOutputsError,
    attach,
    expect,
    without_vision,
)
from omnivla_vision.tokens.files import token_file
from omnivla_vision.tokens.layout import UnknownSpaceError
from test.checkpoint.writers import make_model, write_oft
from test.policy.folder import encoder_of, hidden_states, load_policy, pixels, write_policy
from test.policy.messages import recorded

if TYPE_CHECKING:
    from omnivla_vision.encoder import VisionEncoder


@pytest.fixture(scope="module")
def images(photographs: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Current and goal."""
    return photographs[:2]


@pytest.fixture(scope="module")
def own(checkpoint: Path, images: list[NDArray[np.uint8]]) -> torch.Tensor:
    """What the policy makes of them with its own vision, in float32."""
    return hidden_states(load_policy(checkpoint), pixels(images))


def written(encoder: VisionEncoder, images: list[NDArray[np.uint8]], file: Path, dtype: str = "float32") -> Path:
    encoder.set_goal(Goal(rgb=images[1]))
    file.write_bytes(token_file(encoder.encode(images[0]), dtype))
    return file


@pytest.mark.parametrize("space", ["fused", "projected"])
def test_outputs_are_equal(
    space: str, checkpoint: Path, images: list[NDArray[np.uint8]], own: torch.Tensor, tmp_path: Path
) -> None:
    with without_vision(type(load_policy(checkpoint))):
        model = load_policy(checkpoint)
    port = attach(model, checkpoint=checkpoint, space=space)
    file = written(encoder_of(checkpoint, space=space), images, tmp_path / "t.safetensors")
    tokens = port.read(file)
    assert tokens.shape == (1, 512, {"fused": 1152, "projected": 64}[space])
    assert torch.equal(hidden_states(model, tokens), own)


def test_in_half_precision_they_differ_by_its_own_error(
    checkpoint: Path, encoder: VisionEncoder, images: list[NDArray[np.uint8]], own: torch.Tensor, tmp_path: Path
) -> None:
    whole = load_policy(checkpoint, torch.bfloat16)
    error = _difference(hidden_states(whole, pixels(images)), own)
    port = attach(whole, checkpoint=checkpoint)
    file = written(encoder, images, tmp_path / "t.safetensors", "float16")
    tokens = port.read(file)
    assert tokens.dtype == torch.bfloat16
    assert 0 < _difference(hidden_states(whole, tokens), own) <= error


def test_a_recorded_message_is_read_too(
    checkpoint: Path, encoder: VisionEncoder, images: list[NDArray[np.uint8]], own: torch.Tensor, tmp_path: Path
) -> None:
    model = load_policy(checkpoint)
    port = attach(model, checkpoint=checkpoint)
    encoder.set_goal(Goal(rgb=images[1]))
    message = recorded(encoder.encode(images[0]), tmp_path)
    assert _difference(hidden_states(model, port.read(message)), own) < 1e-3  # float16
    assert torch.equal(port.read(message), port.read(written(encoder, images, tmp_path / "t", "float16")))


def test_pooled_tokens_go_into_the_model(checkpoint: Path, images: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    model = load_policy(checkpoint)
    port = attach(model, checkpoint=checkpoint, pool="8x8")
    assert model.vision_backbone.get_num_patches() == 64
    tokens = port.read(written(encoder_of(checkpoint, output_pool="8x8"), images, tmp_path / "t"))
    assert model.vision_backbone(tokens).shape == (1, 128, 1152)


def test_a_preset_of_several_outputs_is_refused(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = (Output("fine", get_pooling("8x8")), Output("coarse", get_pooling("2x2")))
    monkeypatch.setitem(PRESETS, "small", replace(PRESETS["small"], outputs=outputs))
    with pytest.raises(SeveralOutputsError, match=r"found preset small with outputs fine, coarse; expected one, which"):
        attach(load_policy(checkpoint), checkpoint=checkpoint)


def test_other_images_are_seen(
    checkpoint: Path, encoder: VisionEncoder, images: list[NDArray[np.uint8]], own: torch.Tensor, tmp_path: Path
) -> None:
    model = load_policy(checkpoint)
    port = attach(model, checkpoint=checkpoint)
    swapped = port.read(written(encoder, images[::-1], tmp_path / "t"))
    assert _difference(hidden_states(model, swapped), own) > 0.01


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.float() - other.float()).norm() / other.float().norm())


def test_without_vision_nothing_is_built_and_everything_comes_back(checkpoint: Path) -> None:
    policy = type(load_policy(checkpoint))
    module = __import__(policy.__module__, fromlist=["_"])
    own, ignored = module.PrismaticVisionBackbone, vars(policy)["_keys_to_ignore_on_load_unexpected"]
    with without_vision(module):
        model = load_policy(checkpoint)
    assert not list(model.vision_backbone.parameters())
    assert model.vision_backbone.embed_dim == 1152
    assert model.vision_backbone.get_num_patches() == 256
    model.vision_backbone.set_num_images_in_input(3)
    assert model.vision_backbone.get_num_images_in_input() == 3
    with pytest.raises(RuntimeError, match="broken"), without_vision(policy):
        raise RuntimeError("broken")
    assert module.PrismaticVisionBackbone is own
    assert vars(policy)["_keys_to_ignore_on_load_unexpected"] is ignored
    with pytest.raises(ModelError, match=r"found no PrismaticVisionBackbone in pathlib"), without_vision(Path):
        pass


def test_code_that_is_run_anew_with_every_model(checkpoint: Path, timm: ModuleType) -> None:
    """As `trust_remote_code` does it; there only timm can be replaced."""
    own = timm.create_model
    with without_vision():
        backbone = timm.create_model("vit_base_patch16_siglip_256.webli", pretrained=False, num_classes=0, img_size=256)
        timm.create_model("vit_large_patch14_reg4_dinov2.lvd142m", pretrained=False, img_size=224, act_layer=None)
    assert (backbone.embed_dim, len(backbone.blocks), backbone.patch_embed.num_patches) == (768, 3, 256)
    assert not list(backbone.parameters())
    with pytest.raises(ModelError, match=r"expected attach before its first use"):
        backbone.get_intermediate_layers()
    with pytest.raises(ConditionedVisionError):
        _ = backbone.num_features
    assert timm.create_model is own
    with pytest.raises(ModelError, match=r"found no model that was built without its vision"), without_vision():
        pass


def test_a_model_within_another_is_found(checkpoint: Path) -> None:
    model = load_policy(checkpoint)
    wrapped = torch.nn.Sequential(model)
    attach(wrapped, checkpoint=checkpoint)
    assert not list(model.vision_backbone.parameters())


def test_what_is_no_such_model_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=r"found Linear without `vision_backbone`"):
        attach(torch.nn.Linear(1, 1), checkpoint=checkpoint)
    model = load_policy(checkpoint)
    model.vision_backbone.embed_dim = 2176
    with pytest.raises(ModelError, match=r"whose vision has 2176 features; expected 1152"):
        attach(model, checkpoint=checkpoint)
    model.vision_backbone.embed_dim, model.projector.llm_dim = 1152, 4096
    with pytest.raises(ModelError, match=r"takes 4096 features; expected 64"):
        attach(model, checkpoint=checkpoint, space="projected")
    with pytest.raises(UnknownSpaceError, match=r"unknown token space 'flat'"):
        attach(model, checkpoint=checkpoint, space="flat")
    with pytest.raises(RandomWeightsError, match=r"found no checkpoint"):
        attach(model, checkpoint="", preset="small")


def test_the_checkpoint_of_another_model_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """Of the same sizes: the model's own projector tells."""
    other = write_policy(tmp_path, seed=7)
    with pytest.raises(ModelError, match=r"whose projector differs from the checkpoint's by 1\d\d\.\d%"):
        attach(load_policy(other), checkpoint=checkpoint)
    attach(load_policy(other, torch.float16), checkpoint=other)


def test_a_checkpoint_without_a_projector_will_do(checkpoint: Path, tmp_path: Path) -> None:
    weights = write_oft(tmp_path, make_model(get_preset("small"), out_width=64), adapter={"lora_alpha": 4, "r": 4})[0]
    (tmp_path / "config.json").write_text((checkpoint / "config.json").read_text())
    assert expect(weights).projector_rows is None


def test_what_is_no_tokens_is_refused(
    checkpoint: Path, encoder: VisionEncoder, images: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    model = load_policy(checkpoint)
    port = attach(model, checkpoint=checkpoint)
    with pytest.raises(
        NotTokensError, match=r"found pixel_values \[1, 12, 224, 224\]; expected tokens \[1, 512, 1152\]"
    ):
        hidden_states(model, torch.zeros(1, 12, 224, 224))
    with pytest.raises(NotTokensError):
        hidden_states(model, torch.zeros(1, 256, 1152))
    tokens = port.read(written(encoder, images, tmp_path / "t"))
    with pytest.raises(ConditionedVisionError, match=r"FiLM"):
        model.vision_backbone(tokens, torch.zeros(1, 3, 64))
    with pytest.raises(ConditionedVisionError, match=r"FiLM"):  # its wrapper changes the transformers' blocks
        _ = model.vision_backbone.featurizer
    with pytest.raises(NotTokensError, match=r"found no pixel_values"):
        model(input_ids=torch.ones(1, 3), pixel_values=None)
    model.vision_backbone.set_num_images_in_input(2)
    with pytest.raises(ModelError, match=r"set_num_images_in_input\(3\); expected 2"):
        model.vision_backbone.set_num_images_in_input(3)


def test_it_needs_neither_ros_nor_engines() -> None:
    """A policy's environment has torch, and not what a node needs."""
    import subprocess
    import sys

    program = (
        "import sys, omnivla_vision.policy; bad = [name for name in sys.modules if name.split('.')[0] in "
        "('rclpy', 'cv2', 'rosbags') or name.startswith(('omnivla_vision.engine', 'omnivla_vision.ros'))]; print(bad)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
