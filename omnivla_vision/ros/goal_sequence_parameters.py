"""What the node's parameters say about a goal sequence."""

from __future__ import annotations

from omnivla_vision.goal_sequence.advance import AdvanceRule
from omnivla_vision.goal_sequence.errors import GoalSequenceError
from omnivla_vision.ros.settings import LATCHED, VisionParameters


class GoalSequenceParametersError(GoalSequenceError):
    """Other parameters leave no room for a sequence."""


def advance_rule(settings: VisionParameters) -> AdvanceRule | None:
    """When the node moves on by itself; None: never."""
    if not settings.goal_sequence_advance:
        return None
    return AdvanceRule(
        threshold=settings.goal_sequence_advance_similarity,
        frames=settings.goal_sequence_advance_frames,
        hysteresis=settings.goal_sequence_advance_hysteresis,
    )


def check_parameters(settings: VisionParameters) -> None:
    """Refuse parameters that leave no room for a sequence.

    Raises:
        GoalSequenceParametersError: goals come with the frames, or none is taken, or one is named already.
    """
    found = ""
    if settings.goal_image_path:
        found = f"goal_image_path {settings.goal_image_path}; expected one of the two; empty one"
    elif settings.pairing != LATCHED:
        found = f"pairing {settings.pairing}, where every frame brings its own goal; expected pairing: {LATCHED}"
    elif not settings.takes_goal:
        found = "takes_goal: false; expected true: a policy without a goal has no use for a sequence of them"
    if found:
        raise GoalSequenceParametersError(f"found goal_sequence_path beside {found}")
