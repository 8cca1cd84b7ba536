"""Format B: Prismatic's and OpenVLA's native .pt, alone or in its run folder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

from omnivla_vision.checkpoint.contents import Configured, Contents, split_encoders
from omnivla_vision.checkpoint.errors import AmbiguousCheckpointError, ConfigError
from omnivla_vision.checkpoint.identify import PRISMATIC_IDS
from omnivla_vision.checkpoint.json_file import read_json
from omnivla_vision.checkpoint.stored import StoredTensor
from omnivla_vision.network.presets import get_preset, native_normalization
from omnivla_vision.network.spec import Preset, Strategy

CHECKPOINTS, LATEST = "checkpoints", "latest-checkpoint.pt"
PREFIXES = {"featurizer.": 0, "dino_featurizer.": 0, "siglip_featurizer.": 1, "clip_featurizer.": 1}
# The layers of an nn.Sequential, in which every second module is a GELU.
_PROJECTOR = {"projector.0.": "fc1.", "projector.2.": "fc2.", "projector.4.": "fc3."}
# What a VLA's config.json names instead of its own settings: (vision_backbone_id, image_resize_strategy), from
# `prismatic/conf/models.py`.
_BASE_VLMS = {
    "prism-dinosiglip-224px+7b": ("dinosiglip-vit-so-224px", "resize-naive"),
    "siglip-224px+7b": ("siglip-vit-so400m", "letterbox"),
}


def find_file(run_folder: Path) -> Path | None:
    """The weights in a run folder: the latest, or the only ones.

    Raises:
        AmbiguousCheckpointError: there are several, and none is called the latest.
    """
    folder = run_folder / CHECKPOINTS
    if (folder / LATEST).is_file():
        return folder / LATEST
    files = sorted(folder.glob("*.pt")) or sorted(run_folder.glob("*.pt"))
    if len(files) > 1:
        raise AmbiguousCheckpointError(
            run_folder,
            found=f"{len(files)} .pt files",
            expected=f"one, or {CHECKPOINTS}/{LATEST}",
            advice=f"name the file, for example {files[-1].name}",
        )
    return files[0] if files else None


def read_native(file: Path, structure: dict[str, Any]) -> Contents:
    """Describe a native checkpoint; `structure` is what the file holds, tensors described.

    Raises:
        CheckpointError: any of the refusals of its parts.
    """
    model = structure["model"]
    vision = _tensors(model.get("vision_backbone", {}))
    encoders, prefixes = split_encoders(file, vision, PREFIXES)
    run_folder = file.parent.parent if file.parent.name == CHECKPOINTS else file.parent
    preset, strategy, source = _read_config(run_folder / "config.json")
    return Contents(
        format="B: Prismatic / OpenVLA native .pt",
        file=file,
        encoders=encoders,
        prefixes=prefixes,
        projector={_projector_name(key): t for key, t in _tensors(model.get("projector", {})).items()},
        preset=preset,
        preset_source=source,
        configure=partial(configure_native, strategy=strategy, source=source),
    )


def configure_native(preset: Preset, *, strategy: Strategy | None, source: str) -> Configured:
    """Means and deviations of timm itself, and borders of each encoder's own mean: so Prismatic trains and runs."""
    native = native_normalization(preset)
    if strategy is not None:
        native = replace(
            native,
            encoders=tuple(
                replace(spec, resize=replace(spec.resize, strategy=strategy, fill=_fill(spec.mean, strategy)))
                for spec in native.encoders
            ),
        )
    return Configured(
        preset=native,
        normalization="timm's, as native checkpoints were trained",
        resize=source if strategy is not None else f"preset {preset.name}",
    )


def _fill(mean: tuple[float, float, float], strategy: Strategy) -> tuple[int, int, int]:
    red, green, blue = (int(value * 255) for value in mean)
    return (red, green, blue) if strategy == "letterbox" else (0, 0, 0)


def _tensors(state: dict[str, Any]) -> dict[str, StoredTensor]:
    """Without the prefix that DDP puts before every name."""
    return {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, StoredTensor)}


def _projector_name(key: str) -> str:
    """Of other projectors than Prismatic's MLPs the names stay, and are refused if the projector is asked for."""
    return next((ours + key.removeprefix(native) for native, ours in _PROJECTOR.items() if key.startswith(native)), key)


def _read_config(file: Path) -> tuple[Preset | None, Strategy | None, str]:
    """Preset, resize strategy and the name of the file, as far as there is a file and it tells."""
    if not file.is_file():
        return None, None, ""
    config = read_json(file)
    model = config.get("model") or {}
    base = (config.get("vla") or {}).get("base_vlm")
    identity, strategy = _BASE_VLMS.get(
        str(base), (model.get("vision_backbone_id"), model.get("image_resize_strategy"))
    )
    if identity is not None and identity not in PRISMATIC_IDS:
        raise ConfigError(
            file,
            key="vision_backbone_id",
            found=f"{identity!r}",
            expected=f"one of {', '.join(PRISMATIC_IDS)}",
            advice="these vision encoders are not supported",
        )
    if strategy is not None and strategy not in get_args(Strategy):
        raise ConfigError(
            file,
            key="image_resize_strategy",
            found=f"{strategy!r}",
            expected=f"one of {', '.join(get_args(Strategy))}",
            advice="correct the file, or restore the original",
        )
    preset = None if identity is None else get_preset(PRISMATIC_IDS[identity])
    return preset, cast("Strategy | None", strategy), "config.json"
