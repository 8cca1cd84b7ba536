"""OmniVLA as its own code builds it, on this package's tokens: a message in, waypoints out. No ROS.

The steps and the numbers are those of `inference/run_omnivla.py`, but for the vision, which is not built.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError
from omnivla_vision.policy import Port, attach, without_vision

# Metres between waypoints (`metric_waypoint_spacing`), and how far away a goal may be (`thres_dist`).
SPACING_M, FARTHEST_M = 0.1, 30.0


class CodeError(VisionError):
    """OmniVLA's own code, or a part of its checkpoint, is not where it was said to be."""


class OmniVla:
    """A policy on tokens.

    Args:
        code: the folder that holds OmniVLA's `prismatic`; empty: it is installed. Its code is run.
        checkpoint: the folder of the model, with `action_head--N_checkpoint.pt` and `pose_projector--N_checkpoint.pt`.
        space, allow_random: see `omnivla_vision.policy.attach`.
        image_path: the same; empty for OmniVLA's own.

    Raises:
        CodeError: code or parts of the checkpoint are missing.
        VisionError: see `attach`.
    """

    def __init__(self, code: str, checkpoint: Path, *, space: str, image_path: str, allow_random: bool) -> None:
        if code:
            sys.path.insert(0, code)
        modeling = _module("prismatic.extern.hf.modeling_prismatic")
        self._constants = _module("prismatic.vla.constants")
        self._masks = _module("prismatic.training.train_utils")
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model_class = modeling.OpenVLAForActionPrediction_MMNv1
        with without_vision(model_class):
            # As its own script loads it; the CPU multiplies bfloat16 slowly or not at all.
            dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
            model = model_class.from_pretrained(str(checkpoint), torch_dtype=dtype, low_cpu_mem_usage=True)
        self._model = model.to(self._device).eval()
        # Whatever is assumed of the folder: this is OmniVLA.
        path = image_path or "omnivla"
        self.port: Port = attach(
            self._model, checkpoint=checkpoint, space=space, image_path=path, allow_random=allow_random
        )
        width = self._model.llm_dim
        head = _module("prismatic.models.action_heads").L1RegressionActionHead_idcat(
            input_dim=width, hidden_dim=width, action_dim=self._constants.ACTION_DIM
        )
        poses = _module("prismatic.models.projectors").ProprioProjector(
            llm_dim=width, proprio_dim=self._constants.POSE_DIM
        )
        self._head = _load(head, checkpoint, "action_head").to(self._device, dtype)
        self._poses = _load(poses, checkpoint, "pose_projector", "proprio_projector").to(self._device, dtype)
        self._tokenizer = _module("transformers").AutoTokenizer.from_pretrained(str(checkpoint))
        self._prompts = _module("prismatic.models.backbones.llm.prompting").PurePromptBuilder
        self._actions = _module("prismatic.vla.action_tokenizer").ActionTokenizer(self._tokenizer)

    def waypoints(
        self,
        message: Any,
        *,
        image: bool = False,
        pose: tuple[float, float, float] | None = None,
        prompt: str | None = None,
    ) -> NDArray[np.float32]:
        """Where to drive.

        Args:
            message: VisualTokens, or a token file.
            image: whether to follow the goal image, whose tokens the message has.
            pose: the goal's, as the robot sees it: m forward, m to the left, rad counter-clockwise; None: none.
            prompt: such as "move toward the blue bin"; None: none.

        Returns:
            [8, 4]: m forward, m to the left, cosine and sine of the heading; one every 1/3 s.

        Raises:
            PolicyError, TokenFormatError: the tokens are refused, see `Port.read`.
        """
        tokens = self.port.read(message, goal=image)
        modality = self.port.omnivla_modality(image=image, pose=pose is not None, language=prompt is not None)
        input_ids, labels = self._text(prompt)
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=self._device.type == "cuda"):
            output = self._model(
                input_ids=input_ids,
                attention_mask=torch.ones_like(input_ids, dtype=torch.bool),
                pixel_values=tokens,
                modality_id=modality,
                labels=labels,
                output_hidden_states=True,
                proprio=self._pose(pose).to(tokens),
                proprio_projector=self._poses,
                use_film=False,
            )
            states = output.hidden_states[-1][:, tokens.shape[1] + 1 : -1]  # behind the images and the pose
            following = labels[:, 1:]
            places = self._masks.get_current_action_mask(following) | self._masks.get_next_actions_mask(following)
            count = self._constants.NUM_ACTIONS_CHUNK * self._constants.ACTION_DIM
            states = states[places].reshape(1, count, -1).to(tokens.dtype)
            waypoints = self._head.predict_action(states, modality)[0].float().cpu().numpy()
        waypoints[:, :2] *= SPACING_M
        return np.asarray(waypoints, np.float32)

    def _text(self, prompt: str | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The prompt, with places for the actions; which ones does not matter, the model replaces their embeddings."""
        asked = "No language instruction" if prompt is None else f"What action should the robot take to {prompt}?"
        placeholders = np.zeros((self._constants.NUM_ACTIONS_CHUNK, self._constants.ACTION_DIM))
        answer = self._actions(placeholders[0]) + "".join(self._actions(placeholders[1:]))
        builder = self._prompts("openvla")
        builder.add_turn("human", asked)
        builder.add_turn("gpt", answer)
        input_ids = torch.tensor([self._tokenizer(builder.get_prompt(), add_special_tokens=True).input_ids])
        labels = input_ids.clone()
        labels[:, : -(len(answer) + 1)] = self._constants.IGNORE_INDEX
        return input_ids.to(self._device), labels.to(self._device)

    def _pose(self, pose: tuple[float, float, float] | None) -> torch.Tensor:
        x, y, yaw = pose or (0.0, 0.0, 0.0)
        scale = min(1.0, FARTHEST_M / max(np.hypot(x, y), 1e-9)) / SPACING_M
        return torch.tensor([[x * scale, y * scale, np.cos(yaw), np.sin(yaw)]])


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CodeError(
            f"cannot import {name}: {error}; expected OmniVLA's own code; give its repository's folder, and install "
            "what it needs beside this package"
        ) from error


def _load(module: torch.nn.Module, folder: Path, *names: str) -> torch.nn.Module:
    """A part that training saved beside the model, `NAME--STEP_checkpoint.pt`; DDP's prefix is taken off."""
    files = [file for name in names for file in sorted(folder.glob(f"{name}--*_checkpoint.pt"))]
    if len(files) != 1:
        raise CodeError(
            f"found {', '.join(file.name for file in files) or 'no file'} in {folder}; expected one "
            f"{names[0]}--STEP_checkpoint.pt; give the whole checkpoint of one step"
        )
    state = torch.load(files[0], map_location="cpu", weights_only=True)
    try:
        module.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    except RuntimeError as error:
        raise CodeError(f"{files[0]} does not fit OmniVLA's {type(module).__name__}: {error}") from error
    return module.eval()
