"""Messages of topics beside the camera's, for a bag that a test writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from test.replay.bags import START_NS, TYPES, Message

ODOMETRY, TWIST, FIX = "nav_msgs/msg/Odometry", "geometry_msgs/msg/Twist", "sensor_msgs/msg/NavSatFix"


def odometry(
    x: float, at_s: float, *, stamp_s: float | None = None, topic: str = "/odom", cut_to: int | None = None
) -> Message:
    """At that x, stamped (relative to the start) when it was recorded or otherwise; -START_NS / 1e9 is no stamp."""
    covariance = np.zeros(36)
    pose = _new("geometry_msgs/msg/Pose", position=_vector("Point", x, 2.0, 3.0), orientation=_quaternion(0.1, 0.2))
    twist = _new(
        "geometry_msgs/msg/Twist", linear=_vector("Vector3", 4.0, 5.0, 6.0), angular=_vector("Vector3", 7, 8, 9)
    )
    message = _new(
        ODOMETRY,
        header=_header(at_s if stamp_s is None else stamp_s, "odom"),
        child_frame_id="base",
        pose=_new("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance),
        twist=_new("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=covariance),
    )
    return Message(topic, ODOMETRY, at_s, serialized(message, ODOMETRY)[:cut_to])


def twist(x: float, at_s: float, *, topic: str = "/cmd_vel") -> Message:
    """A command, which has no stamp."""
    message = _new(TWIST, linear=_vector("Vector3", x, 0, 0), angular=_vector("Vector3", 0, 0, -x))
    return Message(topic, TWIST, at_s, serialized(message, TWIST))


def serialized(message: Any, msgtype: str) -> bytes:
    """As CDR."""
    return bytes(TYPES.serialize_cdr(message, msgtype))


def _new(msgtype: str, **fields: Any) -> Any:
    return TYPES.types[msgtype](**fields)


def _vector(kind: str, x: float, y: float, z: float) -> Any:
    return _new(f"geometry_msgs/msg/{kind}", x=float(x), y=float(y), z=float(z))


def _quaternion(x: float, w: float) -> Any:
    return _new("geometry_msgs/msg/Quaternion", x=x, y=0.0, z=0.0, w=w)


def _header(stamp_s: float, frame_id: str) -> Any:
    seconds, nanoseconds = divmod(START_NS + round(stamp_s * 1e9), 10**9)
    return _new(
        "std_msgs/msg/Header",
        stamp=_new("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds),
        frame_id=frame_id,
    )
