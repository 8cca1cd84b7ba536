"""What a policy is asked to follow, and whether it is there."""

from __future__ import annotations

import math

from geometry_msgs.msg import PoseStamped
from rclpy.time import Time

from omnivla_vision.errors import VisionError
from omnivla_vision.policy import ModalityError
from omnivla_vision.policy.omnivla import modality

GOALS = ("image", "pose", "language")


class ParameterError(VisionError):
    """A parameter of the policy's node is missing, or is not what it may be."""


class MissingGoalError(VisionError):
    """A pose or a prompt that is to be followed is not there, too old, or of no use."""


class Goals:
    """The newest goals.

    Args:
        followed: of GOALS.
        frame: the robot's, in which a pose must be.
        max_age_s: how old a pose may be; it is the robot's view of a goal, and changes as it moves.

    Raises:
        ParameterError: a combination that OmniVLA does not know.
    """

    def __init__(self, followed: tuple[str, ...], frame: str, max_age_s: float) -> None:
        if unknown := set(followed) - set(GOALS):
            raise ParameterError(f"found goals {', '.join(sorted(unknown))}; expected some of {', '.join(GOALS)}")
        try:
            modality(**{name: name in followed for name in GOALS})
        except ModalityError as error:
            raise ParameterError(f"the parameter goals: {error}") from error
        self.followed = followed
        self.pose: PoseStamped | None = None
        self.prompt = ""
        self._frame, self._max_age_s = frame, max_age_s

    def pose_at(self, now: Time) -> tuple[float, float, float] | None:
        """Metres forward, metres to the left, radians counter-clockwise; None if no pose is followed.

        Raises:
            MissingGoalError: there is none, or it is old, in another frame, or not finite.
        """
        if "pose" not in self.followed:
            return None
        message = self.pose
        if message is None:
            raise MissingGoalError("found no goal pose; expected one on the topic goal_pose")
        if message.header.frame_id != self._frame:
            raise MissingGoalError(
                f"found a goal pose in {message.header.frame_id!r}; expected it in {self._frame!r}, anew as it moves"
            )
        if abs(age_s(now, Time.from_msg(message.header.stamp))) > self._max_age_s:
            raise MissingGoalError(
                f"found no goal pose of the last {self._max_age_s} s; expected it anew as the robot moves"
            )
        place, turn = message.pose.position, message.pose.orientation
        yaw = math.atan2(2 * (turn.w * turn.z + turn.x * turn.y), 1 - 2 * (turn.y**2 + turn.z**2))
        if not all(map(math.isfinite, (place.x, place.y, yaw))):
            raise MissingGoalError("found a goal pose that is not finite; expected numbers")
        return place.x, place.y, yaw

    def prompt_now(self) -> str | None:
        """The newest prompt; None if none is followed.

        Raises:
            MissingGoalError: there is none.
        """
        if "language" not in self.followed:
            return None
        if not self.prompt.strip():
            raise MissingGoalError("found no prompt; expected one in the parameter or on the topic prompt")
        return self.prompt


def age_s(now: Time, stamp: Time) -> float:
    """Seconds from a stamp until now, whichever clocks the two say they are of: a message does not tell."""
    return (now.nanoseconds - stamp.nanoseconds) / 1e9
