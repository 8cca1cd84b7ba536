"""Why a policy does not get tokens: one class per reason."""

from __future__ import annotations

from omnivla_vision.errors import VisionError


class PolicyError(VisionError):
    """Base of the refusals."""


class ModelError(PolicyError):
    """The model, or the module of its class, is not built as OpenVLA's are."""


class NotTokensError(PolicyError):
    """The model was given something else than tokens, such as pixels."""


class ConditionedVisionError(PolicyError):
    """The model conditions its vision on language (FiLM): tokens that were computed without it are not its own."""


class WrongWeightsError(PolicyError):
    """The tokens were computed with other weights than the policy's checkpoint holds."""


class RandomWeightsError(PolicyError):
    """The tokens were computed with random weights, and mean nothing."""


class WrongPreprocessingError(PolicyError):
    """The images were resized, cropped or normalized in another way than the policy's were in training."""


class WrongSpaceError(PolicyError):
    """Fused tokens where projected ones are expected, or the other way around, or of another width."""


class WrongOutputsError(PolicyError):
    """Tokens that are pooled in another way, or other outputs, than the policy takes."""


class SeveralOutputsError(PolicyError):
    """There are several outputs, and one tensor is to be made of them."""


class WrongImagesError(PolicyError):
    """Other images, in another order or number, than the policy takes."""


class NoGoalError(PolicyError):
    """The goal's tokens are zeros, and the policy is to look at them."""


class ModalityError(PolicyError):
    """OmniVLA was not trained on this combination of goals."""
