"""Hidden states -> actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prismatic.vla.constants import ACTION_DIM, NUM_ACTIONS_CHUNK


class L1RegressionActionHead_idcat(nn.Module):  # noqa: N801 - OmniVLA's name
    """Takes the modality beside the states."""

    def __init__(self, input_dim: int, hidden_dim: int, action_dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(input_dim * ACTION_DIM + 1, action_dim)

    def predict_action(self, actions_hidden_states: Tensor, taskid: Tensor) -> Tensor:
        """[B, 32, llm_dim] -> [B, 8, 4]."""
        states = actions_hidden_states.reshape(len(actions_hidden_states), NUM_ACTIONS_CHUNK, -1)
        task = taskid.reshape(-1, 1, 1).expand(-1, NUM_ACTIONS_CHUNK, 1)
        actions: Tensor = self.fc(torch.cat([states, task], dim=2))
        return actions
