"""Where the actions are in a sequence of labels."""

from __future__ import annotations

from torch import Tensor

from prismatic.vla.constants import ACTION_DIM, ACTION_TOKEN_BEGIN_IDX, IGNORE_INDEX


def get_current_action_mask(token_ids: Tensor) -> Tensor:
    """The first action's places."""
    return (token_ids > ACTION_TOKEN_BEGIN_IDX) & (_counted(token_ids) <= ACTION_DIM)


def get_next_actions_mask(token_ids: Tensor) -> Tensor:
    """The others'."""
    return (token_ids > ACTION_TOKEN_BEGIN_IDX) & (_counted(token_ids) > ACTION_DIM)


def _counted(token_ids: Tensor) -> Tensor:
    return (token_ids != IGNORE_INDEX).cumsum(dim=1)
