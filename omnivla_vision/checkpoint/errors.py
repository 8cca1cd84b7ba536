"""Why a checkpoint is refused: one class per reason. Each names the file, the key, what was found, expected, to do."""

from __future__ import annotations

from pathlib import Path

from omnivla_vision.errors import VisionError


class CheckpointError(VisionError):
    """Base of the refusals.

    Args:
        file: what was being read.
        found: what is there.
        expected: what should be there.
        advice: what to do about it.
        key: the tensor or the configuration entry, if it is about one.
    """

    def __init__(self, file: str | Path, *, found: str, expected: str, advice: str, key: str = "") -> None:
        where = f"{file}: {key}" if key else str(file)
        super().__init__(f"{where}: found {found}; expected {expected}; {advice}")
        self.file, self.key, self.found, self.expected, self.advice = str(file), key, found, expected, advice


class CheckpointNotFoundError(CheckpointError):
    """Nothing is at the path."""


class UnknownFormatError(CheckpointError):
    """The files are not those of any supported format; an empty folder, too."""


class AmbiguousCheckpointError(CheckpointError):
    """Several files, or several presets, would do."""


class CorruptFileError(CheckpointError):
    """A file is truncated, or is not what its name says."""


class LfsPointerError(CheckpointError):
    """A file is git-lfs's pointer to the real one, which was not downloaded."""


class UnreadableFileError(CheckpointError):
    """The system does not let a file be read: no permission, or a broken disk."""


class PickledWeightsError(CheckpointError):
    """A whole model's weights are in PyTorch's .bin files; they have to be converted to safetensors."""


class ChangedFileError(CheckpointError):
    """A file was written to, replaced or removed between the check of its weights and their use."""


class UnsafePickleError(CheckpointError):
    """A .pt file holds something other than tensors and plain containers, and might run code."""


class LegacyPickleError(CheckpointError):
    """A .pt file in the format before torch 1.6, of which single tensors cannot be read."""


class IndexFileError(CheckpointError):
    """model.safetensors.index.json is broken."""


class PathEscapeError(CheckpointError):
    """An index entry points out of the checkpoint's folder."""


class MissingShardError(CheckpointError):
    """The index names a file that is not there."""


class IndexMismatchError(CheckpointError):
    """The index places a tensor in a shard that does not hold it."""


class MissingTensorError(CheckpointError):
    """A tensor that the network executes is not in the checkpoint."""


class UnexpectedTensorError(CheckpointError):
    """The checkpoint holds a tensor that the preset's network does not have: it is another network."""


class ShapeMismatchError(CheckpointError):
    """A tensor has another shape than the preset's network."""


class WrongDtypeError(CheckpointError):
    """A tensor is neither bfloat16, float16 nor float32."""


class NonFiniteWeightsError(CheckpointError):
    """A tensor holds NaN or Inf."""


class SwappedEncodersError(CheckpointError):
    """The encoders are in the wrong order."""


class EncoderCountError(CheckpointError):
    """The checkpoint has more or fewer encoders than the preset."""


class MissingEncodersError(CheckpointError):
    """The checkpoint holds no vision weights, because its encoders were frozen; stock ones were not given."""


class FilmError(CheckpointError):
    """The checkpoint needs FiLM language conditioning, which is not supported."""


class LoraError(CheckpointError):
    """LoRA weights that cannot be merged: of another model, a half is missing, the scale is unknown or ambiguous."""


class UnsupportedAdapterError(CheckpointError):
    """An adapter that is not plain LoRA, so that merging it is another computation."""


class AdapterNotFoundError(CheckpointError):
    """Where the LoRA adapter should be, there is no folder with the two files that PEFT saves."""


class AdapterWithoutBaseError(CheckpointError):
    """A LoRA adapter, and no weights that it could be merged into."""


class ProjectorWidthError(CheckpointError):
    """The projector does not fit behind the backbone."""


class MissingProjectorError(CheckpointError):
    """Projected tokens were asked for, and the checkpoint has no projector."""


class ConfigError(CheckpointError):
    """config.json, preprocessor_config.json or adapter_config.json is broken, or contradicts itself or the preset."""


class PresetConflictError(CheckpointError):
    """The preset asked for is not the one that the checkpoint names."""


class HubError(CheckpointError):
    """Weights could not be downloaded."""
