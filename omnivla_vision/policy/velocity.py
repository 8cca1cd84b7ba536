"""A waypoint -> how fast to drive towards it, within the robot's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Steps of 1/3 s: how often OmniVLA's own script decides (`DT` of `inference/run_omnivla.py`).
STEP_S = 1 / 3
# What its controller asks for at most, before the robot's own limits: m/s forward, rad/s (`np.clip` there).
_MOST_LINEAR, _MOST_ANGULAR = 0.5, 1.0
# Below this a waypoint counts as reached, m (`EPS` there).
_HERE = 1e-8


@dataclass(frozen=True)
class Velocity:
    """Forward in m/s and counter-clockwise in rad/s: `linear.x` and `angular.z` of a Twist."""

    linear: float = 0.0
    angular: float = 0.0

    def limited(self, linear: float, angular: float) -> Velocity:
        """Within the robot's limits, on the same curve: both are scaled alike."""
        scale = min(
            1.0,
            linear / abs(self.linear) if self.linear else 1.0,
            angular / abs(self.angular) if self.angular else 1.0,
        )
        return Velocity(self.linear * scale, self.angular * scale)


def towards(x: float, y: float, cosine: float, sine: float) -> Velocity:
    """What reaches a waypoint in one step; never backwards. The controller of OmniVLA's `inference/run_omnivla.py`.

    Args:
        x: forward, m.
        y: to the left, m.
        cosine: of the heading there, which counts only where the waypoint is reached already.
        sine: of that heading.
    """
    if abs(x) < _HERE and abs(y) < _HERE:
        linear, angular = 0.0, math.atan2(sine, cosine) / STEP_S
    elif abs(x) < _HERE:
        linear, angular = 0.0, math.copysign(math.pi / 2, y) / STEP_S
    else:
        linear, angular = x / STEP_S, math.atan(y / x) / STEP_S
    return Velocity(min(max(linear, 0.0), _MOST_LINEAR), min(max(angular, -_MOST_ANGULAR), _MOST_ANGULAR))
