"""Weights from the Hugging Face hub, or from its local cache when there is no network: whole models, timm's models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from omnivla_vision.checkpoint import huggingface
from omnivla_vision.checkpoint.assumed_path import unseen_path
from omnivla_vision.checkpoint.contents import Contents
from omnivla_vision.checkpoint.errors import HubError
from omnivla_vision.checkpoint.huggingface_config import CONFIG, PREPROCESSOR
from omnivla_vision.checkpoint.identify import preset_of_timm_ids
from omnivla_vision.checkpoint.shards import INDEX, read_index
from omnivla_vision.checkpoint.timm_files import WEIGHTS, is_stock_file, read_files
from omnivla_vision.checkpoint.unsupported import refuse_pickled
from omnivla_vision.network.presets import PRESETS, TIMM_PREFIX, get_preset

PREFIX = "hub:"
_TIMM = "timm/"
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def read_hub(spec: str) -> Contents:
    """Download (once; the hub's cache keeps it) and describe what `spec` names.

    Args:
        spec: `hub:ORGANIZATION/MODEL[@REVISION]` for a whole model, of which only the shards with vision and projector
            are downloaded; `hub:PRESET`, `hub:ID[+ID]` or `hub:timm:ID@SIZE[+...]` for timm's weights.

    Raises:
        HubError: huggingface_hub is not installed, there is no network and no cached copy, or the hub has no such file.
        CheckpointError, TimmPresetError, GridMismatchError: as for local files.
    """
    name = spec.removeprefix(PREFIX)
    if "/" in name and not name.startswith((_TIMM, TIMM_PREFIX)):
        folder = _download_model(_Repository(spec, *name.split("@", 1)))
        if is_stock_file(folder / WEIGHTS):  # an encoder in transformers' format
            return read_files([folder / WEIGHTS])
        contents = huggingface.read_folder(folder)
        return replace(contents, image_path=unseen_path(contents.image_path))
    if name in PRESETS or name.startswith(TIMM_PREFIX):
        preset = get_preset(name)
    else:
        preset = preset_of_timm_ids([part.removeprefix(_TIMM) for part in name.split("+")])
    repositories = [_Repository(spec, _TIMM + encoder.timm_id) for encoder in preset.encoders]
    return read_files([repository.download(WEIGHTS) for repository in repositories], preset=preset, preset_source=name)


def _download_model(repository: _Repository) -> Path:
    """The folder of a whole model in the hub's cache, with the files that are needed of it."""
    for file in (CONFIG, PREPROCESSOR):
        repository.download_if_there(file)
    if index := repository.download_if_there(INDEX):
        for shard in sorted(set(read_index(index, huggingface.wanted).values())):
            repository.download(shard)
        return index.parent
    if single := repository.download_if_there(huggingface.SINGLE):
        return single.parent
    for file in _PICKLED:
        if repository.has(file):
            refuse_pickled(Path(repository.name), file)
    return repository.download(huggingface.SINGLE).parent


@dataclass
class _Repository:
    """One of the hub's; `revision` becomes the commit with the first file, so that all files are of the same one."""

    spec: str
    name: str
    revision: str = ""

    def download(self, file: str) -> Path:
        """The file in the hub's cache.

        Raises:
            HubError: it cannot be had.
        """
        path = self._fetch(file)
        if isinstance(path, Path):
            return path
        raise self._error(file, path) from path

    def download_if_there(self, file: str) -> Path | None:
        """The same, or None if the repository has no such file, and not merely no network.

        Raises:
            HubError: it cannot be known.
        """
        path = self._fetch(file)
        if isinstance(path, Path):
            return path
        if _says_no(path) or self._known_absent(file):
            return None
        raise self._error(file, path) from path

    def has(self, file: str) -> bool:
        """Whether the hub has the file, which is not downloaded; not, if it cannot be asked."""
        from huggingface_hub import file_exists

        try:
            return bool(file_exists(self.name, file, revision=self.revision or None))
        except (OSError, ValueError):
            return False

    def _fetch(self, file: str) -> Path | Exception:
        try:
            from huggingface_hub import hf_hub_download
        except ImportError as error:
            raise HubError(
                self.spec,
                found="no huggingface_hub",
                expected="it, to download from the hub",
                advice="pip install huggingface_hub, or give local .safetensors files",
            ) from error
        try:
            path = Path(hf_hub_download(self.name, file, revision=self.revision or None))
        except (OSError, ValueError) as error:  # what huggingface_hub's errors and its transports' derive from
            return error
        if path.parent.parent.name == "snapshots":
            self.revision = path.parent.name
        return path

    def _known_absent(self, file: str) -> bool:
        """Whether the hub said so when there was a network."""
        from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

        cached = try_to_load_from_cache(self.name, file, revision=self.revision or None)
        return cached is _CACHED_NO_EXIST

    def _error(self, file: str, error: Exception) -> HubError:
        lines = str(error).strip().splitlines()
        return HubError(
            self.spec,
            key=f"{self.name}/{file}",
            found=f"{type(error).__name__}: {lines[0] if lines else ''}",
            expected="a download, or a copy in the hub's cache",
            advice="check the id and the network, or download the file elsewhere and give its path",
        )


def _says_no(error: Exception) -> bool:
    """Whether it is the hub that says that there is no such file."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    return isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError)
