"""Which format a path is, by looking at the files."""

from __future__ import annotations

from pathlib import Path

from omnivla_vision.checkpoint import hub, huggingface, oft, prismatic, timm_files, unsupported
from omnivla_vision.checkpoint.contents import Contents
from omnivla_vision.checkpoint.errors import CheckpointNotFoundError, UnknownFormatError
from omnivla_vision.checkpoint.pt_file import read_structure
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.shards import INDEX

FORMATS = (
    f"{INDEX} (OpenVLA, OmniVLA), {prismatic.CHECKPOINTS}/{prismatic.LATEST} (Prismatic), {oft.PATTERN} "
    f"(OpenVLA-OFT), or .safetensors of timm's or transformers' encoders"
)


def open_checkpoint(spec: str | Path, *, lora_alpha: float | None = None) -> Contents:
    """Describe whatever is at a path, at two paths with a + between them, or behind `hub:`; no tensor is read.

    Raises:
        CheckpointNotFoundError: nothing is there.
        UnknownFormatError: it is of no supported format.
        CheckpointError: any of the refusals of the formats.
    """
    if str(spec).startswith(hub.PREFIX):
        return hub.read_hub(str(spec))
    path = _expand(Path(spec))
    if path.is_dir():
        return _open_folder(path, lora_alpha)
    if path.is_file():
        return _open_file(path, lora_alpha)
    parts = [_expand(Path(part)) for part in str(spec).split("+")]  # only now: Prismatic's run names hold many a +
    if len(parts) > 1 and all(part.exists() for part in parts):
        return timm_files.read_files([_one_file(part) for part in parts])
    raise CheckpointNotFoundError(
        path, found="nothing", expected="a checkpoint", advice="check the path, or write hub:PRESET for stock weights"
    )


def _expand(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise CheckpointNotFoundError(
            path, found="no home directory for ~", expected="a checkpoint", advice="write the whole path"
        ) from error


def _open_folder(folder: Path, lora_alpha: float | None) -> Contents:
    # The most specific first: an OFT folder has shards too, but it is its .pt file that OFT loads the vision from.
    if file := oft.find_file(folder):
        return oft.read_backbone(file, read_structure(file), lora_alpha=lora_alpha)
    if (folder / INDEX).is_file() and not timm_files.is_stock_file(folder / INDEX):
        return huggingface.read_folder(folder)
    if files := timm_files.find_files(folder):
        return timm_files.read_files(files)
    if (folder / huggingface.SINGLE).is_file():
        return huggingface.read_folder(folder)
    if file := prismatic.find_file(folder):
        return _open_file(file, lora_alpha)
    unsupported.refuse_known(folder)
    names = sorted(path.name for path in folder.iterdir())
    raise UnknownFormatError(
        folder,
        found=f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "an empty folder",
        expected=FORMATS,
        advice="give the folder of a checkpoint, downloaded whole",
    )


def _open_file(file: Path, lora_alpha: float | None) -> Contents:
    if file.name == INDEX:
        return timm_files.read_files([file]) if timm_files.is_stock_file(file) else huggingface.read_folder(file.parent)
    if file.suffix == ".bin" or file.match(unsupported.PICKLED):
        unsupported.refuse_pickled(file, file.name)
    if file.suffix == ".safetensors":
        if file.name == unsupported.ADAPTER:
            unsupported.refuse_adapter(file)
        if timm_files.is_stock_file(file):
            return timm_files.read_files([file])
        if any(key.startswith(huggingface.VISION) for key in read_header(file)):
            return huggingface.read_folder(file.parent, file)
    elif file.suffix in (".pt", ".pth"):
        structure = read_structure(file)
        if isinstance(structure, dict) and isinstance(structure.get("model"), dict):
            return prismatic.read_native(file, structure)
        if isinstance(structure, dict) and any(str(key).startswith("language_model.") for key in structure):
            unsupported.refuse_pickled(file, file.name)
        if isinstance(structure, dict) and any("featurizer." in str(key) for key in structure):
            return oft.read_backbone(file, structure, lora_alpha=lora_alpha)
    raise UnknownFormatError(
        file, found="a file of another kind", expected=FORMATS, advice="give a checkpoint of a supported format"
    )


def _one_file(path: Path) -> Path:
    """A part of a pair: a file, or a folder that holds one."""
    files = timm_files.find_files(path) if path.is_dir() else [path]
    if len(files) == 1 and timm_files.is_stock_file(files[0]):
        return files[0]
    raise UnknownFormatError(
        path,
        found=f"{len(files)} files of an encoder's weights" if path.is_dir() else "a file of another kind",
        expected="one model's .safetensors on each side of the +",
        advice="give two files",
    )
