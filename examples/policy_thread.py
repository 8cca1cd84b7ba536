"""A policy in a thread of its own: the newest tokens in, the newest decision out. No ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the policy made of a message: waypoints [N, 4], or why not (`refused`)."""

    message: Any
    received_s: float
    waypoints: NDArray[np.float32]
    refused: str = ""


class PolicyThread:
    """While the model loads, thinks or hangs, the thread that drives goes on, and can stop the robot.

    Args:
        load: makes the model; takes minutes.
        decide: the model and a message -> waypoints.
    """

    def __init__(self, load: Callable[[], Any], decide: Callable[[Any, Any], NDArray[np.float32]]) -> None:
        self.loaded = False
        self.failed = ""
        self.decision: Decision | None = None
        self._load, self._decide = load, decide
        self._newest: tuple[Any, float] | None = None
        self._changed, self._ended = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, message: Any) -> None:
        """Replace whatever waits: acting on old tokens is worse than on none."""
        with self._changed:
            self._newest = message, time.monotonic()
            self._changed.notify()

    def end(self) -> None:
        """Let the thread end, if it comes to that in time."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            model = self._load()
        except Exception as error:  # noqa: BLE001 - also of code that is not ours
            self.failed = str(error) if isinstance(error, VisionError) else repr(error)
            return
        self.loaded = True
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._newest is not None)
                if self._ended or self._newest is None:
                    return
                (message, received_s), self._newest = self._newest, None
            waypoints, refused = np.empty((0, 4), np.float32), ""
            try:
                waypoints = self._decide(model, message)
                if not np.isfinite(waypoints).all():
                    refused = "the policy's waypoints are not finite"
            except VisionError as error:
                refused = str(error)
            except Exception as error:  # noqa: BLE001 - the policy's own code must not leave the robot moving
                refused = f"the policy's own code failed: {error!r}"
            self.decision = Decision(message=message, received_s=received_s, waypoints=waypoints, refused=refused)
