"""Statuses to /diagnostics: through diagnostic_updater where it is installed, as plain messages otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.lifecycle import LifecycleNode

from omnivla_vision.ros.diagnostics import NAMES, OK, Status

PERIOD_S = 1.0


class Publisher(Protocol):
    """Takes statuses, one of each of NAMES, and gets them to /diagnostics."""

    period_s: float

    def publish(self, statuses: Sequence[Status]) -> None:
        """Publish now."""
        ...


def make_publisher(node: LifecycleNode) -> Publisher:
    """The publisher that this installation allows."""
    try:
        import diagnostic_updater
    except ImportError:
        return _PlainPublisher(node)
    return _UpdaterPublisher(node, diagnostic_updater)


class _PlainPublisher:
    period_s = PERIOD_S

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._topic = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def publish(self, statuses: Sequence[Status]) -> None:
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        name = self._node.get_fully_qualified_name()
        array.status = [
            DiagnosticStatus(
                name=f"{name}: {status.name}",
                hardware_id=name,
                level=status.level,
                message=status.message,
                values=[KeyValue(key=key, value=str(value)) for key, value in status.values.items()],
            )
            for status in statuses
        ]
        self._topic.publish(array)


class _UpdaterPublisher:
    def __init__(self, node: LifecycleNode, library: Any) -> None:
        self._statuses = {name: Status(name, OK, "starting") for name in NAMES}
        self._updater = library.Updater(node)
        # Its timer follows the node's clock, and stands still while a simulation does.
        self._updater.timer.cancel()
        self.period_s = float(self._updater.period)
        self._updater.node_name = node.get_fully_qualified_name()
        self._updater.setHardwareID(node.get_fully_qualified_name())
        for name in NAMES:
            self._updater.add(name, partial(self._fill, name))

    def publish(self, statuses: Sequence[Status]) -> None:
        self._statuses = {status.name: status for status in statuses}
        self._updater.update()

    def _fill(self, name: str, wrapper: Any) -> Any:
        status = self._statuses[name]
        wrapper.summary(status.level, status.message)
        for key, value in status.values.items():
            wrapper.add(key, str(value))
        return wrapper
