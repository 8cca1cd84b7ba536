"""Writes a policy's folder as training leaves it, and runs the policy's own code on it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.loading import EncoderOptions, load_encoder
from omnivla_vision.network.presets import get_preset
from omnivla_vision.network.random_weights import fill_random
from test.checkpoint.writers import make_model, openvla_config, write_openvla

CODE = Path(__file__).with_name("code")
LLM_WIDTH = 64
SMALL = {
    "vision_backbone_id": None,
    "timm_model_ids": ["vit_small_patch14_reg4_dinov2.lvd142m", "vit_base_patch16_siglip_256.webli"],
    "image_sizes": [224, 256],
    "text_config": {"hidden_size": LLM_WIDTH},
}
PARTS = ("action_head", "pose_projector")


def write_policy(folder: Path, *, seed: int = 0) -> Path:
    """Shards, and the parts beside them."""
    model = make_model(get_preset("small"), seed=seed, out_width=LLM_WIDTH)
    write_openvla(folder, model, shards=2, config=openvla_config(**SMALL))
    for number, name in enumerate(PARTS):
        module = make_part(name)
        fill_random(module.requires_grad_(False), seed=seed + number)
        state = {f"module.{key}": tensor for key, tensor in module.state_dict().items()}  # as DDP saves it
        torch.save(state, folder / f"{name}--1000_checkpoint.pt")
    return folder


def make_part(name: str) -> nn.Module:
    """The head, or the pose's projector."""
    with code():
        from prismatic.models.action_heads import L1RegressionActionHead_idcat
        from prismatic.models.projectors import ProprioProjector
    if name == "action_head":
        head: nn.Module = L1RegressionActionHead_idcat(input_dim=LLM_WIDTH, hidden_dim=LLM_WIDTH, action_dim=4)
        return head
    projector: nn.Module = ProprioProjector(llm_dim=LLM_WIDTH, proprio_dim=4)
    return projector


def encoder_of(checkpoint: Path, **options: Any) -> VisionEncoder:
    """The node's pipeline in this process."""
    return load_encoder(EncoderOptions(checkpoint=str(checkpoint), engine="eager", **options)).encoder


@contextmanager
def code() -> Iterator[None]:
    """The policy's own code can be imported."""
    sys.path.insert(0, str(CODE))
    try:
        yield
    finally:
        sys.path.remove(str(CODE))


def tokenizer() -> Any:
    """The stand-in for transformers' tokenizer, not under that library's name: other tests need the real one."""
    spec = importlib.util.spec_from_file_location("stand_in_for_transformers", CODE / "transformers" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AutoTokenizer()


def load_policy(checkpoint: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The model, with its own vision unless it is within `without_vision`."""
    with code():
        from prismatic.extern.hf.modeling_prismatic import OpenVLAForActionPrediction_MMNv1
    return OpenVLAForActionPrediction_MMNv1.from_pretrained(str(checkpoint), dtype, low_cpu_mem_usage=True).eval()


def pixels(images: list[NDArray[np.uint8]]) -> Tensor:
    """What the model's own vision takes, of several images."""
    preprocessor = Preprocessor(get_preset("small"))
    return torch.cat([stack.flatten(1) for image in images for stack in preprocessor([image])], dim=1)


def hidden_states(
    model: Any, pixel_values: Tensor, *, modality: int = 6, pose: tuple[float, ...] = (1, 2, 0, 1)
) -> Tensor:
    """Of a model with its pose projector, on a short prompt."""
    with code():
        from prismatic.models.projectors import ProprioProjector
    projector = ProprioProjector(llm_dim=LLM_WIDTH, proprio_dim=4)
    fill_random(projector.requires_grad_(False), seed=3)
    dtype = next(model.projector.parameters(), pixel_values).dtype
    input_ids = torch.arange(1, 12).unsqueeze(0)
    with torch.inference_mode():
        output = model(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids, dtype=torch.bool),
            pixel_values=pixel_values.to(dtype),
            modality_id=torch.tensor([float(modality)]),
            labels=torch.full_like(input_ids, -100),
            output_hidden_states=True,
            proprio=torch.tensor([pose]).to(dtype),
            proprio_projector=projector.to(dtype),
            use_film=False,
        )
    states: Tensor = output.hidden_states[-1]
    return states
