"""Where tokens come in: checked against the policy's checkpoint, in the model's number format."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from omnivla_vision.policy import omnivla
from omnivla_vision.policy.checks import Message, check
from omnivla_vision.policy.errors import NoGoalError, NotTokensError, SeveralOutputsError
from omnivla_vision.policy.expectation import Expectation
from omnivla_vision.tokens.files import TokenFile, read_token_file
from omnivla_vision.tokens.layout import GOAL
from omnivla_vision.tokens.packing import NonFiniteTokensError, TokenSizeError, unpack_torch


class Port:
    """Takes messages and files, and gives a model its tokens or says why not.

    Args:
        expected: what the tokens must be.
        model: whose device and number format they get; None: as they come, on the CPU.
    """

    def __init__(self, expected: Expectation, model: nn.Module | None = None) -> None:
        self.expected = expected
        self._model = model
        self._goal_valid: bool | None = None

    def read(self, tokens: Message | TokenFile | str | Path, *, goal: bool | None = None) -> Tensor:
        """Check tokens and bring them to the model.

        Args:
            tokens: a VisualTokens message (rclpy's, or rosbags'), a `TokenFile`, or the path of a file that
                `omnivla-vision encode` wrote.
            goal: whether the policy will look at the goal's tokens; None: it will, if it takes any. OmniVLA on a pose
                or a prompt does not.

        Returns:
            [1, rows, width] in the model's dtype and device: the model's `pixel_values`.

        Raises:
            RandomWeightsError, WrongWeightsError, WrongPreprocessingError, WrongSpaceError, WrongOutputsError,
                WrongImagesError: they are not the policy's own.
            SeveralOutputsError: there are several outputs.
            NoGoalError: the goal's are zeros, and needed.
            NotTokensError: it is neither message nor file.
            TokenFormatError: the message or the file is broken, or holds NaN or Inf.
        """
        self._goal_valid = None  # what comes now may be refused
        described = read_token_file(Path(tokens)) if isinstance(tokens, (str, Path)) else tokens
        if not hasattr(described, "outputs"):
            raise NotTokensError(
                f"found {type(tokens).__name__}; expected a VisualTokens message of this version (deserialized), or a "
                "file's path"
            )
        if len(described.outputs) > 1:
            raise SeveralOutputsError(
                f"found outputs {', '.join(output.name for output in described.outputs)}; expected one, since read "
                "makes one tensor; check them with omnivla_vision.policy.check and take them by name: "
                "omnivla_vision.tokens.unpack_outputs_torch(message), or a file's tensors"
            )
        check(described, self.expected)
        tensor = described.tokens if isinstance(described, TokenFile) else unpack_torch(described).unsqueeze(0)
        self._check_tensor(tensor)
        # Also where the message says that there is a goal: what counts is what the policy would look at.
        goal_valid = described.goal_valid and bool(self._goal_rows(tensor).any())
        if not goal_valid and (self._takes_goal if goal is None else goal):
            raise NoGoalError(
                "found no goal: its tokens are zeros; expected those of a goal image, since the policy looks at them; "
                "publish one to the node, or read with goal=False and mask them"
            )
        self._goal_valid = goal_valid
        return self._to_model(tensor)

    def omnivla_modality(self, *, image: bool = False, pose: bool = False, language: bool = False) -> Tensor:
        """OmniVLA's `modality_id` for the tokens last read: which of its goals it is to follow.

        Returns:
            [1], in the model's dtype and device.

        Raises:
            ModalityError: OmniVLA was not trained on the combination.
            NoGoalError: an image goal, and nothing was read yet, or the goal's tokens are zeros.
        """
        number = omnivla.modality(image=image, pose=pose, language=language)
        if image and not self._goal_valid:
            found = "no tokens read" if self._goal_valid is None else "a goal whose tokens are zeros"
            found = found if self._takes_goal else "a port without a goal among its images"
            raise NoGoalError(
                f"found {found}; expected a goal image for modality {number}; read tokens that have one, or choose a "
                "modality without"
            )
        return self._to_model(torch.tensor([float(number)]))

    @property
    def _takes_goal(self) -> bool:
        return GOAL in self.expected.layout.image_names

    def _goal_rows(self, tensor: Tensor) -> Tensor:
        layout = self.expected.layout
        place = layout.image_names.index(GOAL) if self._takes_goal else len(layout.image_names)
        return tensor[:, place * layout.tokens_per_image :][:, : layout.tokens_per_image]

    def _check_tensor(self, tensor: Tensor) -> None:
        layout = self.expected.layout
        if tuple(tensor.shape) != (1, layout.rows, layout.width):
            raise TokenSizeError(
                f"found tokens {list(tensor.shape)} described as {layout.rows} of {layout.width} features; expected "
                f"[1, {layout.rows}, {layout.width}]; the message or file is broken"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise NonFiniteTokensError("found NaN or infinite values in the tokens; expected finite numbers only")

    def _to_model(self, tensor: Tensor) -> Tensor:
        """Quantized models have parameters of integers, too: the first floating one tells."""
        parameters = () if self._model is None else self._model.parameters()
        like = next((parameter for parameter in parameters if parameter.is_floating_point()), None)
        return tensor if like is None else tensor.to(device=like.device, dtype=like.dtype)
