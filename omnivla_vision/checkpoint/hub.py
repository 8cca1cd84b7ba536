"""Stock weights of timm models from the Hugging Face hub, or from its local cache when there is no network."""

from __future__ import annotations

from pathlib import Path

from omnivla_vision.checkpoint.contents import Contents
from omnivla_vision.checkpoint.errors import HubError
from omnivla_vision.checkpoint.identify import preset_of_timm_ids
from omnivla_vision.checkpoint.timm_files import WEIGHTS, read_files
from omnivla_vision.network.presets import PRESETS, TIMM_PREFIX, get_preset

PREFIX = "hub:"


def read_hub(spec: str) -> Contents:
    """Download (once; the hub's cache keeps it) and describe `hub:PRESET`, `hub:ID[+ID]` or `hub:timm:ID@SIZE[+...]`.

    Raises:
        HubError: huggingface_hub is not installed, there is no network and no cached copy, or the hub has no such file.
        CheckpointError, TimmPresetError, GridMismatchError: as for local files.
    """
    name = spec.removeprefix(PREFIX)
    if name in PRESETS or name.startswith(TIMM_PREFIX):
        preset = get_preset(name)
    else:
        preset = preset_of_timm_ids(name.split("+"))
    return read_files(
        [_download(spec, encoder.timm_id) for encoder in preset.encoders], preset=preset, preset_source=name
    )


def _download(spec: str, timm_id: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise HubError(
            spec,
            found="no huggingface_hub",
            expected="it, to download from the hub",
            advice="pip install huggingface_hub, or give local .safetensors files",
        ) from error
    repository = f"timm/{timm_id}"
    try:
        return Path(hf_hub_download(repository, WEIGHTS))
    except (OSError, ValueError) as error:  # what huggingface_hub's own errors and those of its transports derive from
        raise HubError(
            spec,
            key=f"{repository}/{WEIGHTS}",
            found=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
            expected="a download, or a copy in the hub's cache",
            advice="check the id and the network, or download the file elsewhere and give its path",
        ) from error
