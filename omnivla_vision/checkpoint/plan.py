"""Which of a checkpoint's tensors the network executes, and the refusals of those that do not fit it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from omnivla_vision.checkpoint.contents import Contents
from omnivla_vision.checkpoint.errors import (
    EncoderCountError,
    MissingTensorError,
    ProjectorWidthError,
    ShapeMismatchError,
    SwappedEncodersError,
    UnexpectedTensorError,
)
from omnivla_vision.checkpoint.positions import resample
from omnivla_vision.checkpoint.stored import Source, check_dtype
from omnivla_vision.network.backbone import backbone_shell
from omnivla_vision.network.projector import projector_widths
from omnivla_vision.network.spec import EncoderSpec, Preset

# What timm's models have behind the block whose output is taken. Never read.
_BEHIND = re.compile(r"^(norm|fc_norm|attn_pool|head|head_drop)\.")
_PREFIX_TOKENS = ("cls_token", "reg_token")


@dataclass(frozen=True, kw_only=True)
class _Encoder:
    """One encoder's expected and found tensors, with what an error about them needs to say."""

    contents: Contents
    place: int
    spec: EncoderSpec
    preset: Preset

    @property
    def tensors(self) -> Mapping[str, Source]:
        return self.contents.encoders[self.place]

    def key(self, name: str) -> str:
        """What the file calls, or would call, the tensor."""
        return self.tensors[name].key if name in self.tensors else self.contents.prefixes[self.place] + name


def plan_backbone(contents: Contents, preset: Preset) -> dict[str, Source]:
    """The executed tensors by their name in the backbone's state, in the order in which they run.

    Raises:
        EncoderCountError, SwappedEncodersError: the encoders are not the preset's.
        MissingTensorError, UnexpectedTensorError, ShapeMismatchError, WrongDtypeError: a tensor does not fit.
    """
    if len(contents.encoders) != len(preset.encoders):
        raise EncoderCountError(
            contents.file,
            found=f"{len(contents.encoders)} vision encoder(s)",
            expected=f"{len(preset.encoders)}, as preset {preset.name} has",
            advice="choose the preset of this checkpoint",
        )
    encoders = [
        _Encoder(contents=contents, place=place, spec=spec, preset=preset) for place, spec in enumerate(preset.encoders)
    ]
    _check_order(contents, encoders)
    shapes = {name: tuple(tensor.shape) for name, tensor in backbone_shell(preset).state_dict().items()}
    plan: dict[str, Source] = {}
    for encoder in encoders:
        prefix = f"encoders.{encoder.spec.name}."
        expected = {name.removeprefix(prefix): s for name, s in shapes.items() if name.startswith(prefix)}
        _check_known(encoder, expected)
        plan |= {prefix + name: _source(encoder, name, shape) for name, shape in expected.items()}
    return plan


def check_projector_width(contents: Contents, preset: Preset) -> None:
    """Compare projector and backbone, also where only the backbone will run: both should be of one model.

    Raises:
        ProjectorWidthError: the projector does not fit behind the backbone.
    """
    first = contents.projector.get("fc1.weight")
    if first is not None and first.shape[-1] != preset.width:
        raise ProjectorWidthError(
            first.file,
            key=first.key,
            found=f"{first.shape[-1]} inputs",
            expected=f"{preset.width}, the width of preset {preset.name}'s tokens",
            advice="backbone and projector are of different models; take both from one checkpoint",
        )


def plan_projector(contents: Contents, preset: Preset) -> dict[str, Source]:
    """The projector's tensors by their name in its state.

    Raises:
        MissingTensorError, UnexpectedTensorError, ShapeMismatchError, WrongDtypeError: a tensor is missing or odd.
    """
    layers = len(projector_widths(preset.width, len(preset.encoders))) - 1
    names = [f"fc{number}.{part}" for number in range(1, layers + 1) for part in ("weight", "bias")]
    tensors = contents.projector
    for name in names:
        if name not in tensors:
            raise MissingTensorError(
                contents.file,
                key=f"projector {name}",
                found="no such tensor",
                expected=f"a projector of {layers} layers, as {len(preset.encoders)} encoder(s) have",
                advice="the checkpoint is incomplete, or of another preset",
            )
    for name in sorted(set(tensors) - set(names)):
        raise UnexpectedTensorError(
            tensors[name].file,
            key=tensors[name].key,
            found="it",
            expected=f"a projector of {layers} layers",
            advice="choose the preset of this checkpoint",
        )
    widths = projector_widths(preset.width, len(preset.encoders), tensors[f"fc{layers}.bias"].shape[0])
    for number, (before, after) in enumerate(pairwise(widths), start=1):
        _check_shape(tensors[f"fc{number}.weight"], (after, before), preset)
        _check_shape(tensors[f"fc{number}.bias"], (after,), preset)
    return {name: tensors[name] for name in names}


def _check_order(contents: Contents, encoders: list[_Encoder]) -> None:
    """Class and register tokens tell DINOv2 from SigLIP: in the other order the shapes would fit nothing, too."""
    found = [tuple(token in encoder.tensors for token in _PREFIX_TOKENS) for encoder in encoders]
    expected = [(encoder.spec.class_token, encoder.spec.register_tokens > 0) for encoder in encoders]
    if found != expected and found == expected[::-1]:
        # Whichever encoder should have none, or fewer, has one.
        place = next(i for i, (has, may) in enumerate(zip(found, expected, strict=True)) if sum(has) > sum(may))
        has, may = found[place], expected[place]
        token = next(name for name, there, due in zip(_PREFIX_TOKENS, has, may, strict=True) if there and not due)
        raise SwappedEncodersError(
            contents.file,
            key=encoders[place].key(token),
            found=f"it under the {('first', 'second')[place]} encoder",
            expected=" then ".join(encoder.spec.architecture for encoder in encoders),
            advice="the encoders are swapped; the tokens would be wrong even where the shapes allow it",
        )


def _check_known(encoder: _Encoder, expected: Mapping[str, object]) -> None:
    """Refuse tensors of another network: an unread bias would change the tokens as much as a missing one."""
    spec = encoder.spec
    for name, tensor in encoder.tensors.items():
        if name not in expected and not is_behind(spec, name):
            raise UnexpectedTensorError(
                tensor.file,
                key=tensor.key,
                found="it",
                expected=f"the tensors of {spec.architecture}, {spec.depth} blocks, for preset {encoder.preset.name}",
                advice="choose the preset of this checkpoint",
            )


def is_behind(spec: EncoderSpec, name: str) -> bool:
    """Whether a tensor's place is behind the block whose output is taken: those that are not executed, and its norm."""
    unread = tuple(f"blocks.{number}." for number in range(spec.block + 1, spec.depth))
    return name.startswith(unread) or _BEHIND.match(name) is not None


def _source(encoder: _Encoder, name: str, shape: tuple[int, ...]) -> Source:
    source = encoder.tensors.get(name)
    spec = encoder.spec
    if source is None:
        raise MissingTensorError(
            encoder.contents.file,
            key=encoder.key(name),
            found="no such tensor",
            expected=f"{list(shape)}, which preset {encoder.preset.name} executes",
            advice="the checkpoint is incomplete, or of another preset",
        )
    if name == "pos_embed" and encoder.contents.resample:
        source = resample(source, spec)
    check_dtype(source)
    _check_shape(source, shape, encoder.preset)
    return source


def _check_shape(source: Source, shape: tuple[int, ...], preset: Preset) -> None:
    if source.shape != shape:
        raise ShapeMismatchError(
            source.file,
            key=source.key,
            found=f"{list(source.shape)}",
            expected=f"{list(shape)}, as preset {preset.name} has",
            advice="choose the preset of this checkpoint",
        )
