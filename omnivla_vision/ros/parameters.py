"""The node's parameters at runtime: declared, checked, and changed while the node runs where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from omnivla_vision.errors import VisionError
from omnivla_vision.ros.settings import VisionParameters, parameter_name, problem_with

# Parameters that others declare on the node.
FOREIGN = ("use_sim_time", "qos_overrides.", "diagnostic_updater.", "start_type_description_service")


class InvalidParameterError(VisionError):
    """A parameter's value is not allowed."""


class Parameters:
    """Declares the parameters of VisionParameters on a node and watches over them.

    Nothing is read from the node in the hot path: `current` is what holds, replaced as a whole.

    Args:
        node: the node; a parameter file with bad values does not keep it from starting, see `read`.
        configured: whether the node is past configure, so that only live parameters can change.
        changed: called with the new parameters at a live change; a VisionError refuses it.
    """

    def __init__(
        self, node: Node, *, configured: Callable[[], bool], changed: Callable[[VisionParameters], None]
    ) -> None:
        self.current = VisionParameters()
        self._node = node
        self._configured = configured
        self._changed = changed
        self._items = {parameter_name(item): item for item in fields(VisionParameters)}
        self._problems: dict[str, str] = {}
        for item in self._items.values():
            self._declare(item)
        self._warn_of_unknown()
        node.add_on_set_parameters_callback(self._on_set)

    def read(self) -> VisionParameters:
        """Make the present values the current ones.

        Raises:
            InvalidParameterError: a value is not allowed; the message names it and says what is.
        """
        values = {}
        for name, item in self._items.items():
            value = _core(self._node.get_parameter(name).value)
            problem = self._problems.get(name) or problem_with(item, value)
            if problem:
                raise InvalidParameterError(problem)
            values[item.name] = value
        self.current = VisionParameters(**values)
        return self.current

    def _declare(self, item: Any) -> None:
        """Declare one parameter; a bad value from a parameter file is put aside until `read` reports it."""
        name, default = parameter_name(item), _ros(item.default)
        # rclpy's own answer to a bad override is an exception in the constructor. So look at it first.
        value = self._node.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
        self._node.undeclare_parameter(name)
        if isinstance(default, float) and type(value) is int:  # `max_frame_age: 1` means 1.0
            value = float(value)
        problem = _wrong_type(name, value, default) or problem_with(item, _core(value))
        if problem:
            self._problems[name] = problem
            value = default
        self._node.declare_parameter(name, value, _descriptor(item), ignore_override=True)

    def _on_set(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        """Refuse bad values; rclpy then keeps the old ones."""
        ours = [(self._items[change.name], _core(change.value)) for change in changes if change.name in self._items]
        for item, value in ours:
            problem = problem_with(item, value) or self._too_late(item, value)
            if problem:
                return SetParametersResult(successful=False, reason=problem)
        live = {item.name: value for item, value in ours if item.metadata["live"]}
        if live:
            changed = replace(self.current, **live)
            try:
                self._changed(changed)
            except VisionError as error:
                return SetParametersResult(successful=False, reason=str(error))
            self.current = changed
        for item, _ in ours:
            self._problems.pop(parameter_name(item), None)
        return SetParametersResult(successful=True)

    def _too_late(self, item: Any, value: Any) -> str:
        if item.metadata["live"] or not self._configured() or value == getattr(self.current, item.name):
            return ""
        return (
            f"parameter {parameter_name(item)} takes effect at configure, and the node is configured; deactivate and "
            "clean it up first"
        )

    def _warn_of_unknown(self) -> None:
        """A misspelt parameter in a file would otherwise be ignored without a word."""
        for name in getattr(self._node, "_parameter_overrides", {}):
            if name not in self._items and not name.startswith(FOREIGN):
                close = get_close_matches(name, self._items, n=1)
                hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(self._items)}"
                self._node.get_logger().warning(f"parameter {name} is not one of this node's and has no effect; {hint}")


def _wrong_type(name: str, value: Any, default: Any) -> str:
    found, expected = (Parameter.Type.from_parameter_value(v).name.lower().replace("_", " ") for v in (value, default))
    if found == expected:
        return ""
    return f"parameter {name}: found {value!r}, {_with_article(found)}; expected {_with_article(expected)}"


def _with_article(noun: str) -> str:
    return noun if noun == "not set" else f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _ros(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _core(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _descriptor(item: Any) -> ParameterDescriptor:
    live = "" if item.metadata["live"] else " Takes effect at configure."
    descriptor = ParameterDescriptor(
        description=item.metadata["description"] + live, additional_constraints=", ".join(item.metadata["choices"])
    )
    if item.metadata["range"] is not None:
        low, high = item.metadata["range"]
        if isinstance(item.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
    return descriptor
