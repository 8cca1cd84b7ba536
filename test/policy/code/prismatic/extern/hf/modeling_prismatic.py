"""The model: two vision transformers, a projector, a language model of two layers that attends by modality."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from omnivla_vision.checkpoint.identify import preset_of_timm_ids
from omnivla_vision.network.vit import VisionTransformer
from prismatic.vla.constants import ACTION_TOKEN_BEGIN_IDX


class PrismaticVisionBackbone(nn.Module):
    """Both encoders on each of the images: [B, 2 * pixels of an image] -> [B, 2 * tokens, width]."""

    def __init__(
        self,
        use_fused_vision_backbone: bool,
        image_sizes: list[int],
        timm_model_ids: list[str],
        timm_override_act_layers: list[str | None],
    ) -> None:
        super().__init__()
        self._specs = preset_of_timm_ids(timm_model_ids, image_sizes).encoders
        self.featurizer, self.fused_featurizer = (VisionTransformer(spec) for spec in self._specs)
        self.embed_dim = sum(spec.width for spec in self._specs)

    def get_num_patches(self) -> int:
        """Of an image."""
        return self._specs[0].grid.tokens

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Tokens of the images, one after the other."""
        sizes = [3 * spec.image_size.height * spec.image_size.width for spec in self._specs]
        images = pixel_values.split(sum(sizes), dim=1)
        return torch.cat([self._one(image.split(sizes, dim=1)) for image in images], dim=1)

    def _one(self, parts: tuple[Tensor, ...]) -> Tensor:
        encoders = zip((self.featurizer, self.fused_featurizer), self._specs, parts, strict=True)
        return torch.cat([encoder(part.view(-1, 3, *spec.image_size)) for encoder, spec, part in encoders], dim=2)


class PrismaticProjector(nn.Module):
    """OpenVLA's."""

    def __init__(self, vision_dim: int, llm_dim: int) -> None:
        super().__init__()
        self.llm_dim = llm_dim
        self.fc1 = nn.Linear(vision_dim, 4 * vision_dim)
        self.fc2 = nn.Linear(4 * vision_dim, llm_dim)
        self.fc3 = nn.Linear(llm_dim, llm_dim)

    def forward(self, patches: Tensor) -> Tensor:
        """To the language model's width."""
        gelu = nn.functional.gelu
        projected: Tensor = self.fc3(gelu(self.fc2(gelu(self.fc1(patches)))))
        return projected


class OpenVLAForActionPrediction_MMNv1(nn.Module):  # noqa: N801 - OmniVLA's name
    """What takes `pixel_values`, a prompt and a pose."""

    _keys_to_ignore_on_load_unexpected: list[str] | None = None

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.llm_dim = config["text_config"]["hidden_size"]
        self.vision_backbone = PrismaticVisionBackbone(
            config["use_fused_vision_backbone"],
            config["image_sizes"],
            config["timm_model_ids"],
            config["timm_override_act_layers"],
        )
        self.projector = PrismaticProjector(self.vision_backbone.embed_dim, self.llm_dim)
        with torch.random.fork_rng():
            torch.manual_seed(0)  # the folder has no weights of these; the same with vision and without
            self.embed = nn.Embedding(32_000, self.llm_dim)
            layer = nn.TransformerEncoderLayer(self.llm_dim, 4, 2 * self.llm_dim, dropout=0.0, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    @classmethod
    def from_pretrained(
        cls, path: str, torch_dtype: torch.dtype, low_cpu_mem_usage: bool
    ) -> OpenVLAForActionPrediction_MMNv1:
        """As transformers loads a folder: what it does not know is an error, unless the class says to ignore it."""
        folder = Path(path)
        model = cls(json.loads((folder / "config.json").read_text()))
        state = {
            name.replace(".scale_factor", ".gamma"): tensor
            for file in sorted(folder.glob("*.safetensors"))
            for name, tensor in load_file(file).items()
        }
        unknown = model.load_state_dict(state, strict=False).unexpected_keys
        patterns = cls._keys_to_ignore_on_load_unexpected or []
        unknown = [name for name in unknown if not any(re.search(pattern, name) for pattern in patterns)]
        # Blocks behind the one whose output is taken, and a language model that this one does not have.
        unknown = [name for name in unknown if not name.startswith(("vision_backbone.", "language_model."))]
        built = any(name.startswith("vision_backbone.") for name in model.state_dict())
        if unknown or (patterns and built):
            raise ValueError(f"not of this model: {unknown}")
        return model.to(torch_dtype)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixel_values: Tensor,
        modality_id: Tensor,
        labels: Tensor,
        output_hidden_states: bool,
        proprio: Tensor,
        proprio_projector: nn.Module,
        use_film: bool,
    ) -> SimpleNamespace:
        """Hidden states: of the first token, the images, the pose, the rest of the text."""
        patches = self.projector(self.vision_backbone(pixel_values))
        half = patches.shape[1] // 2
        modality = int(modality_id)
        embedded = self.embed(input_ids) * ~(labels > ACTION_TOKEN_BEGIN_IDX).unsqueeze(2)
        pose = proprio_projector(proprio).unsqueeze(1)
        sequence = torch.cat([embedded[:, :1], patches, pose, embedded[:, 1:]], dim=1)
        seen = torch.ones(sequence.shape[:2], dtype=torch.bool)
        seen[:, 1 + half : 1 + 2 * half] = modality in (5, 6)
        seen[:, 1 + 2 * half] = modality in (4, 5, 8)
        return SimpleNamespace(hidden_states=(self.layers(sequence, src_key_padding_mask=~seen),))
