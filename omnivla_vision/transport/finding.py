"""What can be said of a middleware's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Transport:
    """The settings that decide which messages arrive, and what they are good for."""

    rmw: str
    """As ROS names the middleware, e.g. "rmw_cyclonedds_cpp"."""
    found: str
    """A sentence."""
    advice: str = ""
    """What to do; empty unless messages of that size get lost or late."""
    silent_publisher: str
    """Why the images of a publisher may not arrive, as the end of a sentence."""
    values: Mapping[str, object] = field(default_factory=dict)
    """The settings by name; sizes in bytes."""

    @property
    def sentence(self) -> str:
        """What was found, and what to do."""
        return f"{self.found}; {self.advice}" if self.advice else self.found


def holds(what: str, size: int, message_bytes: int) -> str:
    """How two sizes in bytes compare; a message of 0 bytes is one that is not known yet."""
    return f"{what} holds {size} bytes" + (f" and a token message {message_bytes}" if message_bytes else "")
