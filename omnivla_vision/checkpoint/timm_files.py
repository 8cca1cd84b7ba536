"""Format C: stock weights of one or two models, from local .safetensors files of timm or of transformers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import permutations
from pathlib import Path

from omnivla_vision.checkpoint.contents import Contents
from omnivla_vision.checkpoint.errors import AmbiguousCheckpointError
from omnivla_vision.checkpoint.identify import preset_of_timm_ids
from omnivla_vision.checkpoint.json_file import read_json
from omnivla_vision.checkpoint.other_names import is_of_transformers, naming_of, network_names
from omnivla_vision.checkpoint.prismatic import configure_native
from omnivla_vision.checkpoint.safetensors_file import read_header
from omnivla_vision.checkpoint.shards import INDEX, read_names, read_shards
from omnivla_vision.checkpoint.stored import StoredTensor
from omnivla_vision.checkpoint.transformers_config import CONFIG, configure_beside, preset_beside
from omnivla_vision.network.presets import PRESETS
from omnivla_vision.network.spec import Preset

WEIGHTS = "model.safetensors"
_MAKERS = {False: "timm", True: "transformers"}
_CONFIGURE_TIMM = partial(configure_native, strategy=None, source="")
# Where huggingface_hub keeps a download of timm/ID.
_HUB_CACHE = re.compile(r"^models--timm--(.+)$")


def find_files(folder: Path) -> list[Path]:
    """The weights in a folder: a download of one model, or several, each called by timm's id.

    Raises:
        AmbiguousCheckpointError: their order cannot be told.
    """
    for whole in (folder / WEIGHTS, folder / INDEX):
        if is_stock_file(whole):
            return [whole]
    candidates = [*folder.glob("*.safetensors"), *folder.glob(f"*/{WEIGHTS}"), *folder.glob(f"*/snapshots/*/{WEIGHTS}")]
    files = sorted(file for file in candidates if is_stock_file(file))
    return files if len(files) < 2 else _in_order(folder, files)


def is_stock_file(file: Path) -> bool:
    """Whether it holds a vision transformer under timm's names, or transformers'; or is the index of files that do."""
    if not file.is_file():
        return False
    names = read_names(file) if file.name == INDEX else read_header(file)
    return "blocks.0.attn.qkv.weight" in names or naming_of(names) is not None


def read_files(files: Sequence[Path], *, preset: Preset | None = None, preset_source: str = "") -> Contents:
    """Describe one file per encoder; `preset` if it is known which, otherwise their ids or config.json tell.

    Raises:
        CheckpointError: any of the refusals of its parts.
        TimmPresetError, GridMismatchError: the ids are not in the table, and timm makes no preset of them.
    """
    ids = [timm_id_of(file) for file in files]
    known = [timm_id for timm_id in ids if timm_id is not None]
    if preset is None and len(known) == len(files):
        preset, preset_source = preset_of_timm_ids(known), "the files' ids"
    headers = [_tensors(file) for file in files]
    in_transformers = [is_of_transformers(names) for names in headers]
    if preset is None and in_transformers == [True] and (preset := preset_beside(files[0])) is not None:
        preset_source = CONFIG
    return Contents(
        format=f"C: {' and '.join(sorted({_MAKERS[found] for found in in_transformers}))} .safetensors",
        file=files[0],
        encoders=tuple(network_names(tensors) for tensors in headers),
        prefixes=("",) * len(files),
        projector={},
        preset=preset,
        preset_source=preset_source,
        configure=partial(configure_beside, files) if any(in_transformers) else _CONFIGURE_TIMM,
        resample=True,
    )


def _tensors(file: Path) -> dict[str, StoredTensor]:
    """Of a file, or of the shards of an index, without those that hold other models alone."""
    if file.name != INDEX:
        return read_header(file)
    found = naming_of(read_names(file))
    prefix = found[1] if found is not None and found[0].of_many else ""
    return read_shards(file, lambda name: name.startswith(prefix))


def timm_id_of(file: Path) -> str | None:
    """The id that timm gives the weights, from the config.json beside the file, or from the file's or folder's name."""
    config = file.parent / "config.json"
    if file.name == WEIGHTS and config.is_file():
        values = read_json(config)
        tag = (values.get("pretrained_cfg") or {}).get("tag")
        if values.get("architecture"):
            return f"{values['architecture']}.{tag}" if tag else str(values["architecture"])
    for part in reversed(file.parts):
        if match := _HUB_CACHE.match(part):
            return match[1]
    name = file.parent.name if file.name == WEIGHTS else file.stem
    return name if name.startswith(("vit_", "deit", "naflexvit_")) else None


def _in_order(folder: Path, files: list[Path]) -> list[Path]:
    """The order in which the table has a preset of these models."""
    fitting = []
    for order in permutations(files):
        ids = [timm_id_of(file) for file in order]
        for preset in PRESETS.values():
            found = [spec.architecture for spec in preset.encoders]
            if [timm_id and timm_id.partition(".")[0] for timm_id in ids] == found and list(order) not in fitting:
                fitting.append(list(order))
    if len(fitting) != 1:
        raise AmbiguousCheckpointError(
            folder,
            found=", ".join(file.name for file in files),
            expected="the models of a preset",
            advice="name the files in their order, with a + between them",
        )
    return fitting[0]
