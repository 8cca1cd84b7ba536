"""A sequence of goals that is ready: each of them encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from torch import Tensor

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import EncodedGoal, Goal
from omnivla_vision.goal_sequence.errors import (
    DamagedGoalSequenceError,
    GoalImageChangedError,
    GoalIndexError,
    GoalSequenceError,
)
from omnivla_vision.goal_sequence.kept import KeptSequence, Node
from omnivla_vision.goal_sequence.landmarks import Landmarks, describe
from omnivla_vision.goal_sequence.source import Image, Source


class GoalSequence:
    """Goals in their order. Only what recognises them is in memory; tokens are read when a goal comes into force.

    Args:
        path: what was asked for.
        nodes: the goals, with the names of their images.
        landmarks: by which they are recognised.
        source: their images; None: there are none beside the kept sequence.
        kept: their tokens; None: nothing could be kept, and each is encoded when it comes into force.
        announce: gets a sentence about what is found later.
    """

    def __init__(
        self,
        path: Path,
        *,
        nodes: tuple[Node, ...],
        landmarks: Landmarks,
        source: Source | None,
        kept: KeptSequence | None,
        announce: Callable[[str], None],
    ) -> None:
        self.path = path
        self.nodes = nodes
        self._landmarks = landmarks
        self._source = source
        self._kept = kept
        self._announce = announce

    def index(self, number: int) -> int:
        """0 to len(nodes) - 1 as they are, -1 for the last.

        Raises:
            GoalIndexError: there is no such node.
        """
        if not -1 <= number < len(self.nodes):
            raise GoalIndexError(
                f"found goal index {number}; expected 0 to {len(self.nodes) - 1}, or -1 for the last, of {self.path}"
            )
        return number % len(self.nodes)

    def encoded(self, index: int, encoder: VisionEncoder) -> EncodedGoal:
        """A goal with its tokens: those that were kept, or, where that cannot be, computed again.

        Raises:
            DamagedGoalSequenceError: the kept tokens are damaged, and there are no images beside them.
            BadGoalImageError, GoalImageChangedError: the image is not there any more, or is another one.
        """
        node = self.nodes[index]
        if self._kept is not None:
            try:
                return encoder.recall_goal(node.goal, **self._kept.features(index))
            except DamagedGoalSequenceError as error:
                if self._source is None:
                    raise
                self._announce(f"{error}; {node.name} is encoded anew")
        assert self._source is not None
        goal = Goal(rgb=self._source.picture(node.name))
        if goal.id != node.goal.id:
            raise GoalImageChangedError(
                f"found another picture in {node.name} of {self.path} than when the sequence was taken; give the path "
                "to the node again"
            )
        return encoder.encode_goal(goal)

    def picture(self, index: int) -> Image:
        """A goal's image, uint8 [H, W, 3]; white where there are no images, or this one is not there any more."""
        if self._source is not None:
            with suppress(GoalSequenceError, OSError):
                return self._source.picture(self.nodes[index].name)
        goal = self.nodes[index].goal
        return np.full((goal.height, goal.width, 3), 255, np.uint8)

    def similarities(self, patches: Tensor, encoder: VisionEncoder, window: Sequence[int]) -> list[float]:
        """How much a frame is like each goal of a window; `patches` [tokens_per_image, width] before the projector."""
        return self._landmarks.similarities(describe(patches, encoder.preset.grid), window)
