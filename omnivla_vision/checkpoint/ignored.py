"""What lies in a checkpoint and is not used, so that nobody takes it for a part of what runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from omnivla_vision.checkpoint.huggingface import PROJECTOR, VISION
from omnivla_vision.checkpoint.loaded import Checkpoint
from omnivla_vision.checkpoint.pt_file import read_structure
from omnivla_vision.checkpoint.safetensors_file import read_header

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


def ignored(checkpoint: Checkpoint) -> tuple[str, ...]:
    """One phrase per file of weights that was not read, and per group of tensors beside vision and projector."""
    used = sorted(checkpoint.files.states)
    return (*_tensors(used), *_files(checkpoint, used))


def _tensors(used: Iterable[Path]) -> list[str]:
    phrases = []
    for file in used:
        names = read_header(file) if file.suffix == ".safetensors" else _parts_of(file)
        # Only of whole models: of a vision model alone, every tensor is in the table of parts.
        if not any(name.startswith((VISION, PROJECTOR)) for name in names):
            continue
        others = Counter(n.partition(".")[0] for n in names if not n.startswith((VISION, PROJECTOR)))
        phrases += [f"{group}.* in {file.name} ({count} tensors)" for group, count in others.items()]
    return phrases


def _parts_of(file: Path) -> list[str]:
    """A native checkpoint's names, as a whole model's."""
    structure = read_structure(file)
    parts = structure.get("model", {}) if isinstance(structure, dict) else {}
    return [f"{part}.{name}" for part, tensors in parts.items() if isinstance(tensors, dict) for name in tensors]


def _files(checkpoint: Checkpoint, used: list[Path]) -> list[str]:
    folder = Path(checkpoint.path).expanduser()
    if not folder.is_dir():
        return []
    known = {file.resolve() for file in used}
    files = sorted(file for file in folder.rglob("*") if file.suffix in _WEIGHTS and file.is_file())
    return [f"{file.relative_to(folder)}" for file in files if file.resolve() not in known]
