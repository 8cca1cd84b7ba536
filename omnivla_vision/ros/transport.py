"""The middleware's settings, for the node and for the programs that start one."""

from __future__ import annotations

from omnivla_vision.transport.examine import examine as transport_problem
from omnivla_vision.transport.fastdds import profile_variable
from omnivla_vision.transport.shipped import use_shipped_profile

__all__ = ["profile_variable", "transport_problem", "use_shipped_profile"]
