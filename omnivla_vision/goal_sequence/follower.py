"""Where on a sequence the robot is: which node is in force, who moved there, and what the camera's image is like."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import KnownGoal
from omnivla_vision.goal_sequence.advance import Advance, AdvanceRule
from omnivla_vision.goal_sequence.errors import GoalIndexError
from omnivla_vision.goal_sequence.sequence import GoalSequence
from omnivla_vision.live.frames import OfferedGoal

# What the goal's rows are made of; the names of GoalSequenceStatus.msg.
Origin = Literal["sequence", "goal_image", "none"]


class Offer(Protocol):
    """`EncodeWorker.offer_goal`."""

    def __call__(self, goal: OfferedGoal | None, *, yields: bool = False) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where the robot is on its sequence; the names are those of GoalSequenceStatus.msg.

    `sequence` None: there is none, and `index` and `name` mean nothing.
    """

    sequence: GoalSequence | None = None
    index: int = 0
    source: Origin = "none"
    advanced: bool = False
    window: tuple[int, ...] = ()
    similarities: tuple[float, ...] = ()

    @property
    def number(self) -> int:
        """How many nodes there are."""
        return 0 if self.sequence is None else len(self.sequence.nodes)

    @property
    def name(self) -> str:
        """The node's."""
        return "" if self.sequence is None else self.sequence.nodes[self.index].name


@dataclass(frozen=True)
class SequenceGoal:
    """A node on its way into force."""

    sequence: GoalSequence
    index: int
    advanced: bool

    def put(self, encoder: VisionEncoder) -> KnownGoal:
        """Use the tokens that were kept; raises what `GoalSequence.encoded` does."""
        goal = self.sequence.encoded(self.index, encoder)
        encoder.use_goal(goal)
        return goal.goal


class Follower:
    """Moves along a sequence when it is told to, or by itself. Its methods may be called from any thread.

    Args:
        encoder: whose frames these are.
        offer: hands a goal to the worker, see `EncodeWorker.offer_goal`.
    """

    def __init__(self, encoder: VisionEncoder, offer: Offer) -> None:
        self._encoder = encoder
        self._offer = offer
        self._sequence: GoalSequence | None = None
        self._index = 0  # that was asked for last; it comes into force with the next frame
        self._in_force: OfferedGoal | None = None
        self._advance = Advance()
        self._lock = threading.RLock()

    @property
    def sequence(self) -> GoalSequence | None:
        """The sequence that next and previous move on."""
        return self._sequence

    def follow(self, sequence: GoalSequence | None, *, in_force: bool = True) -> None:
        """Begin with the first node of a sequence, or end following one.

        Args:
            sequence: None for none; then a node that is in force goes.
            in_force: whether its node replaces the goal in force; else the next move does.
        """
        with self._lock:
            self._sequence, self._index = sequence, 0
            self._advance.restart()
            if sequence is None:
                if isinstance(self._in_force, SequenceGoal):
                    self._offer(None)
            elif in_force:
                self._offer(SequenceGoal(sequence, 0, advanced=False))

    def beside(self, by: int) -> int:
        """The node next to the one that was asked for last: +1 or -1.

        Raises:
            GoalIndexError: there is none.
        """
        with self._lock:
            assert self._sequence is not None
            index = self._index + by
            if not 0 <= index < len(self._sequence.nodes):
                end = "the last" if by > 0 else "the first"
                raise GoalIndexError(f"found node {self._index}, {end} of {self._sequence.path}; none is beyond it")
            return index

    def checked(self, index: int) -> int:
        """0 to the last as it is, -1 for the last; raises GoalIndexError for what is neither."""
        with self._lock:
            assert self._sequence is not None
            return self._sequence.index(index)

    def move(self, index: int) -> str:
        """Put a node in force; returns its name."""
        with self._lock:
            assert self._sequence is not None
            self._index = index
            self._advance.restart()
            self._offer(SequenceGoal(self._sequence, self._index, advanced=False))
            return self._sequence.nodes[self._index].name

    def taken(self, offered: OfferedGoal | None) -> None:
        """That goal is in force from now on."""
        with self._lock:
            self._in_force = offered

    def position(self) -> Position:
        """Where we are, without looking at a frame."""
        with self._lock:
            goal = self._in_force
            if self._sequence is None:
                return Position(source="none" if goal is None else "goal_image")
            if isinstance(goal, SequenceGoal) and goal.sequence is self._sequence:
                return Position(sequence=goal.sequence, index=goal.index, source="sequence", advanced=goal.advanced)
            source: Origin = "none" if goal is None or isinstance(goal, SequenceGoal) else "goal_image"
            return Position(sequence=self._sequence, index=self._index, source=source)

    def look(self, patches: Tensor, *, around: int, rule: AdvanceRule | None) -> Position:
        """Compare a frame with the nodes around the one in force, and move on if the rule says so.

        Args:
            patches: [tokens_per_image, width] of the frame, before the projector.
            around: how many nodes on either side.
            rule: None never to move by itself.
        """
        position = self.position()
        sequence = position.sequence
        if sequence is None:
            return position
        last = position.number - 1
        window = tuple(range(max(0, position.index - around), min(last, position.index + around) + 1))
        next_index = min(last, position.index + 1)
        asked = window if next_index in window else (*window, next_index)
        similarities = sequence.similarities(patches, self._encoder, asked)
        if rule is not None and position.source == "sequence" and position.index < last:
            self._move_by_itself(position.index, similarities[asked.index(next_index)], rule)
        return Position(
            sequence=sequence,
            index=position.index,
            source=position.source,
            advanced=position.advanced,
            window=window,
            similarities=tuple(similarities[: len(window)]),
        )

    def _move_by_itself(self, index: int, similarity: float, rule: AdvanceRule) -> None:
        with self._lock:
            # Whoever moved, or gave another goal, goes first.
            if self._index != index or self._sequence is None or not self._advance.frame(similarity, rule):
                return
            if self._offer(SequenceGoal(self._sequence, index + 1, advanced=True), yields=True):
                self._index = index + 1
