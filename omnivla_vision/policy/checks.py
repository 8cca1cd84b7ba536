"""Are these the policy's own tokens? What a message or a file says of itself, against what the checkpoint says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from omnivla_vision.policy.errors import (
    RandomWeightsError,
    WrongImagesError,
    WrongOutputsError,
    WrongPreprocessingError,
    WrongSpaceError,
    WrongWeightsError,
)
from omnivla_vision.policy.expectation import Expectation
from omnivla_vision.tokens.layout import PROJECTED
from omnivla_vision.tokens.outputs import OutputFields
from omnivla_vision.tokens.packing import TensorFields
from omnivla_vision.weights import RANDOM


class Described(Protocol):
    """What a VisualTokens message and a `TokenFile` say of their tokens."""

    @property
    def image_names(self) -> Sequence[str]: ...
    @property
    def tokens_per_image(self) -> int: ...
    @property
    def space(self) -> str: ...
    @property
    def segment_names(self) -> Sequence[str]: ...
    @property
    def segment_widths(self) -> Any: ...
    @property
    def outputs(self) -> Sequence[OutputFields]: ...
    @property
    def goal_valid(self) -> bool: ...
    @property
    def preset(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def backbone_fingerprint(self) -> str: ...
    @property
    def preprocessing_id(self) -> str: ...


class Message(Described, TensorFields, Protocol):
    """A VisualTokens message of any library: rclpy's, rosbags', mcap's."""


def check(tokens: Described, expected: Expectation) -> None:
    """Compare; first what everything else depends on.

    Outputs behind those that are expected, such as a history's, are the policy's own affair.

    Raises:
        RandomWeightsError, WrongWeightsError, WrongPreprocessingError, WrongSpaceError, WrongOutputsError,
            WrongImagesError: they are not the policy's own.
    """
    _check_space(tokens, expected)
    _check_outputs(tokens, expected)
    _check_columns(tokens, expected)
    _check_weights(tokens, expected)
    _check_preprocessing(tokens, expected)
    _check_images(tokens, expected)


def _check_weights(tokens: Described, expected: Expectation) -> None:
    if not expected.fingerprint:  # random ones will do: at least of the same encoders
        if tokens.preset != expected.preset.name:
            raise WrongWeightsError(
                f"found tokens of preset {tokens.preset!r}; expected {expected.preset.name!r}; start the node with it"
            )
        return
    if tokens.weights == RANDOM:
        raise RandomWeightsError(
            f"found tokens of random weights ({tokens.fingerprint}), which mean nothing; expected those of the "
            "policy's checkpoint; start the node with checkpoint:=FOLDER"
        )
    if tokens.backbone_fingerprint != expected.backbone_fingerprint:
        raise WrongWeightsError(
            f"found tokens of vision weights {tokens.backbone_fingerprint}; expected {expected.backbone_fingerprint}, "
            "those in the policy's checkpoint; give the node the same checkpoint, with the same adapter"
        )
    if tokens.fingerprint != expected.fingerprint:
        raise WrongWeightsError(
            f"found tokens of the right encoders and of another projector ({tokens.fingerprint}); expected "
            f"{expected.fingerprint}; give the node the policy's own checkpoint"
        )


def _check_preprocessing(tokens: Described, expected: Expectation) -> None:
    found, wanted = tokens.preprocessing_id.split("|"), expected.preprocessing_id.split("|")
    if found != wanted:
        differs = [_only(found, wanted), _only(wanted, found)]
        raise WrongPreprocessingError(
            f"found images prepared with {differs[0]}; expected {differs[1]}; choose one image_path, region and mask "
            "for node and policy, the one that the policy is evaluated with, and the same checkpoint"
        )


def _only(parts: list[str], others: list[str]) -> str:
    """What one preprocessing does and the other does not."""
    return " and ".join(part for part in parts if part not in others) or "no such step"


def _check_space(tokens: Described, expected: Expectation) -> None:
    if tokens.space != expected.layout.space:
        advice = (
            f"start the node with space:={expected.layout.space}, or attach with space={tokens.space!r}"
            if tokens.space
            else "the message is empty"
        )
        raise WrongSpaceError(f"found {tokens.space!r} tokens; expected {expected.layout.space!r}; {advice}")


def _check_outputs(tokens: Described, expected: Expectation) -> None:
    found = [f"{output.name} (pooling {output.pooling})" for output in tokens.outputs]
    wanted = [f"{output.name} (pooling {output.pooling})" for output in expected.layout.outputs]
    if found[: len(wanted)] != wanted:
        raise WrongOutputsError(
            f"found outputs {', '.join(found) or 'of no name'}; expected {', '.join(wanted)}; set the node's preset "
            "and output.pool accordingly, or give pool to attach or expect as the node has it"
        )


def _check_columns(tokens: Described, expected: Expectation) -> None:
    segments = expected.layout.segments
    names, widths = [segment.name for segment in segments], [segment.width for segment in segments]
    found_names, found_widths = list(tokens.segment_names), [int(width) for width in tokens.segment_widths]
    if (found_names, found_widths) != (names, widths):
        what = "projector" if expected.layout.space == PROJECTED else "pair of encoders"
        raise WrongSpaceError(
            f"found columns {found_names} of {found_widths}; expected {names} of {widths}; the node runs another "
            f"{what} than the policy was trained with"
        )


def _check_images(tokens: Described, expected: Expectation) -> None:
    layout = expected.layout
    names = tuple(tokens.image_names)
    if names != layout.image_names:
        raise WrongImagesError(
            f"found tokens of {', '.join(names) or 'no image'}; expected {', '.join(layout.image_names)}, in this "
            "order; set the node's cameras and takes_goal accordingly, or name the images to attach as the node does"
        )
    if tokens.tokens_per_image != layout.tokens_per_image:
        raise WrongImagesError(
            f"found {tokens.tokens_per_image} tokens per image; expected {layout.tokens_per_image}; the node runs "
            "another preset"
        )
