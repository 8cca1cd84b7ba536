"""The same question for every middleware."""

from __future__ import annotations

from collections.abc import Mapping

from omnivla_vision.transport import cyclonedds, fastdds, zenoh
from omnivla_vision.transport.finding import Transport

KNOWN = {"fastrtps": fastdds.examine, "cyclonedds": cyclonedds.examine, "zenoh": zenoh.examine}


def examine(message_bytes: int, *, rmw: str, environment: Mapping[str, str]) -> Transport:
    """Whether messages of that size arrive with the settings in `environment`.

    Args:
        message_bytes: size of one message on the wire.
        rmw: the middleware as ROS names it, e.g. "rmw_cyclonedds_cpp".
        environment: where middlewares find their settings, e.g. os.environ.
    """
    for name, examine_it in KNOWN.items():
        if name in rmw:
            return examine_it(message_bytes, rmw=rmw, environment=environment)
    return Transport(
        rmw=rmw,
        found=f"not checked: unknown middleware {rmw}",
        silent_publisher=f"its images may be too large for the settings of {rmw}",
    )
