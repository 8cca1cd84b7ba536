"""A checkpoint that was read: its tensors, what identifies them, and where everything came from."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from omnivla_vision.checkpoint.mapped import FileStates
from omnivla_vision.checkpoint.merged_adapter import MergedAdapter
from omnivla_vision.network.backbone import Backbone, backbone_shell
from omnivla_vision.network.projector import Projector, load_projector
from omnivla_vision.network.spec import Preset


@dataclass(frozen=True, kw_only=True)
class Part:
    """How much of one encoder, or of the projector, is in the checkpoint and how much of it is executed."""

    name: str
    stored_parameters: int
    executed_parameters: int
    executed_bytes: int


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Loaded weights, and where everything came from.

    Tensors that did not have to be computed or converted are parts of the checkpoint's files, mapped: memory that the
    system can have back, for use while nothing writes to the files. What is to run for long takes `own_backbone` and
    `own_projector`.

    Attributes:
        preset: with the normalization, the resize and the image path in force.
        sources: where `preset`, `normalization`, `resize` and `image_path` came from.
        files: what they were like when they were mapped.
        backbone_state: the executed tensors, named as in `Backbone.state_dict()`.
        projector_state: named as in `Projector.state_dict()`; None if it was not asked for.
        fingerprint: SHA-256 in hexadecimal over the loaded tensors, see `checkpoint.fingerprint`.
        backbone_fingerprint: the same without the projector.
        adapter: what of a LoRA adapter is in the tensors; None if nothing.
    """

    path: str
    format: str
    preset: Preset
    sources: dict[str, str]
    files: FileStates = field(repr=False)
    backbone_state: dict[str, Tensor] = field(repr=False)
    projector_state: dict[str, Tensor] | None = field(repr=False)
    fingerprint: str
    backbone_fingerprint: str
    parts: tuple[Part, ...]
    warnings: tuple[str, ...]
    adapter: MergedAdapter | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Of the backbone's tensors."""
        return next(iter(self.backbone_state.values())).dtype

    def backbone(self) -> Backbone:
        """The network, made of the loaded tensors themselves."""
        return _backbone(self.preset, self.backbone_state)

    def projector(self) -> Projector | None:
        """The projector, made of the loaded tensors themselves; None if it was not loaded."""
        return None if self.projector_state is None else load_projector(self.projector_state)

    def own_backbone(self, dtype: torch.dtype) -> Backbone:
        """The network, made of copies.

        Raises:
            ChangedFileError: a file is no longer what it was when it was checked.
        """
        return _backbone(self.preset, self._copies(self.backbone_state, dtype))

    def own_projector(self) -> Projector | None:
        """The projector, made of copies; None if it was not loaded. Raises as `own_backbone`."""
        if self.projector_state is None:
            return None
        return load_projector(self._copies(self.projector_state, None))

    def _copies(self, tensors: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
        copies = {name: tensor.to(dtype or tensor.dtype, copy=True) for name, tensor in tensors.items()}
        self.files.check()  # only now is it sure that these are the weights of the fingerprint
        return copies


def _backbone(preset: Preset, state: dict[str, Tensor]) -> Backbone:
    backbone = backbone_shell(preset)
    backbone.load_state_dict(state, assign=True)
    return backbone.requires_grad_(False)
