"""The policy's side of the topic: tokens in the place of a policy's own vision. torch alone, no ROS, no engines."""

from omnivla_vision.policy.attach import attach
from omnivla_vision.policy.checks import check
from omnivla_vision.policy.errors import (
    ConditionedVisionError,
    ModalityError,
    ModelError,
    NoGoalError,
    NotTokensError,
    PolicyError,
    RandomWeightsError,
    SeveralOutputsError,
    WrongImagesError,
    WrongOutputsError,
    WrongPreprocessingError,
    WrongSpaceError,
    WrongWeightsError,
)
from omnivla_vision.policy.expectation import Expectation, expect
from omnivla_vision.policy.port import Port
from omnivla_vision.policy.without_vision import without_vision

__all__ = [
    "ConditionedVisionError",
    "Expectation",
    "ModalityError",
    "ModelError",
    "NoGoalError",
    "NotTokensError",
    "PolicyError",
    "Port",
    "RandomWeightsError",
    "SeveralOutputsError",
    "WrongImagesError",
    "WrongOutputsError",
    "WrongPreprocessingError",
    "WrongSpaceError",
    "WrongWeightsError",
    "attach",
    "check",
    "expect",
    "without_vision",
]
