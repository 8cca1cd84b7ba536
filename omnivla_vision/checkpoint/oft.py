"""Format D: OpenVLA-OFT's `vision_backbone--N_checkpoint.pt`, its LoRA weights not merged yet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from omnivla_vision.checkpoint import huggingface
from omnivla_vision.checkpoint.assumed_path import assumed_path
from omnivla_vision.checkpoint.contents import Contents, split_encoders
from omnivla_vision.checkpoint.errors import AmbiguousCheckpointError
from omnivla_vision.checkpoint.huggingface_config import configure_from, preset_of_config
from omnivla_vision.checkpoint.lora import config_beside, merge_lora
from omnivla_vision.checkpoint.shards import INDEX
from omnivla_vision.checkpoint.stored import StoredTensor
from omnivla_vision.checkpoint.unsupported import adapter_beside

PATTERN = "vision_backbone--*_checkpoint.pt"
PREFIXES = {"featurizer.": 0, "fused_featurizer.": 1}
# Wrappers that training puts around the backbone, and around every block where FiLM was there.
_WRAPPERS = re.compile(r"^(module\.)?(vision_backbone\.)?")
_VISION_FROM_PT = "the folder has shards too: its vision weights are taken from the .pt file, as OpenVLA-OFT does it"
_WRAPPED_BLOCK = re.compile(r"^(blocks\.\d+)\.block\.")


def find_file(folder: Path) -> Path | None:
    """The vision backbone in a training folder.

    Raises:
        AmbiguousCheckpointError: there are those of several steps.
    """
    files = sorted(folder.glob(PATTERN))
    if len(files) > 1:
        raise AmbiguousCheckpointError(
            folder,
            found=", ".join(file.name for file in files),
            expected="the checkpoint of one step",
            advice="name the file",
        )
    return files[0] if files else None


def read_backbone(file: Path, structure: dict[str, Any], *, lora_alpha: float | None) -> Contents:
    """Describe a backbone; the projector comes from the shards beside it, if there are any.

    Raises:
        CheckpointError: any of the refusals of its parts.
    """
    folder = file.parent
    tensors = {_WRAPPERS.sub("", key): t for key, t in structure.items() if isinstance(t, StoredTensor)}
    encoders, prefixes = split_encoders(file, tensors, PREFIXES)
    config = config_beside(folder, lora_alpha)
    shards = any((folder / name).is_file() for name in (INDEX, huggingface.SINGLE))
    preset, preset_source = preset_of_config(folder, len(encoders))
    return Contents(
        format="D: OpenVLA-OFT vision backbone",
        file=file,
        encoders=tuple(
            merge_lora(
                {_WRAPPED_BLOCK.sub(r"\1.", name): t for name, t in encoder.items()},
                config,
                file,
                prefix=huggingface.VISION + prefix,
            )
            for encoder, prefix in zip(encoders, prefixes, strict=True)
        ),
        prefixes=prefixes,
        projector=_projector(folder) if shards else {},
        preset=preset,
        preset_source=preset_source,
        configure=configure_from(folder),
        image_path=assumed_path(folder, oft=True),
        adapter_beside=adapter_beside(folder) if shards else None,
        warnings=(_VISION_FROM_PT,) if shards else (),
    )


def _projector(folder: Path) -> dict[str, StoredTensor]:
    tensors = huggingface.read_tensors(folder)
    prefix = huggingface.PROJECTOR
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
