"""Format A: the Hugging Face folder of OpenVLA and OmniVLA; only what holds vision or projector is opened."""

from __future__ import annotations

from pathlib import Path

from omnivla_vision.checkpoint.assumed_path import assumed_path
from omnivla_vision.checkpoint.contents import Contents, split_encoders
from omnivla_vision.checkpoint.errors import MissingTensorError
from omnivla_vision.checkpoint.huggingface_config import configure_from, preset_of_config
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.shards import INDEX, read_shards
from omnivla_vision.checkpoint.stored import StoredTensor
from omnivla_vision.checkpoint.unsupported import adapter_beside

SINGLE = "model.safetensors"
VISION, PROJECTOR = "vision_backbone.", "projector."
PREFIXES = {f"{VISION}featurizer.": 0, f"{VISION}fused_featurizer.": 1}


def read_folder(folder: Path, file: Path | None = None) -> Contents:
    """Describe a folder with an index and shards, or with (or given) one file that holds everything.

    Raises:
        CheckpointError: any of the refusals of its parts.
    """
    tensors = read_single(file) if file is not None else read_tensors(folder)
    named = file or folder
    vision = {key: tensor for key, tensor in tensors.items() if key.startswith(VISION)}
    if not vision:
        raise MissingTensorError(
            named,
            key=f"{VISION}*",
            found="no tensor of that name",
            expected="the vision encoders",
            advice="it is a language model's or a policy head's folder; give the one of the whole model",
        )
    encoders, prefixes = split_encoders(named, vision, PREFIXES)
    preset, preset_source = preset_of_config(folder, len(encoders))
    return Contents(
        format="A: OpenVLA / OmniVLA Hugging Face folder",
        file=named,
        encoders=encoders,
        prefixes=prefixes,
        projector={key.removeprefix(PROJECTOR): t for key, t in tensors.items() if key.startswith(PROJECTOR)},
        preset=preset,
        preset_source=preset_source,
        configure=configure_from(folder),
        image_path=assumed_path(folder),
        adapter_beside=adapter_beside(folder),
    )


def read_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Describe the vision's and the projector's tensors; shards without any are never opened."""
    index = folder / INDEX
    return read_shards(index, wanted) if index.is_file() else read_single(folder / SINGLE)


def wanted(name: str) -> bool:
    """Whether a tensor is the vision's or the projector's."""
    return name.startswith((VISION, PROJECTOR))


def read_single(file: Path) -> dict[str, StoredTensor]:
    """Describe the vision's and the projector's tensors of one file."""
    return {key: tensor for key, tensor in read_header(file).items() if wanted(key)}
