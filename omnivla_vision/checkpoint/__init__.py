"""Every supported weight format -> the executed tensors, their fingerprint, and the preset they belong to."""

from omnivla_vision.checkpoint.errors import CheckpointError
from omnivla_vision.checkpoint.load import load_checkpoint
from omnivla_vision.checkpoint.loaded import Checkpoint, Part

__all__ = ["Checkpoint", "CheckpointError", "Part", "load_checkpoint"]
