"""Why a sequence of goals does not come into force; the one before it stays."""

from omnivla_vision.errors import VisionError


class GoalSequenceError(VisionError):
    """Base of the refusals of a sequence of goals."""


class NoGoalSequenceError(GoalSequenceError):
    """There is nothing at the path, or nothing that can be a sequence."""


class GoalNumberingError(GoalSequenceError):
    """The images' names do not say their order."""


class BadGoalImageError(GoalSequenceError):
    """One of the images cannot be used, so the whole sequence is not."""


class GoalImageChangedError(GoalSequenceError):
    """An image is another one now than when the sequence was taken."""


class DamagedGoalSequenceError(GoalSequenceError):
    """A kept sequence is not whole, or not what was written."""


class ForeignGoalSequenceError(GoalSequenceError):
    """A kept sequence was encoded with other weights or another preprocessing."""


class GoalIndexError(GoalSequenceError):
    """The sequence has no such node."""
