"""A lifecycle node that no request can bring down, whatever rclpy it runs on."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rclpy.context import Context
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from omnivla_vision.errors import VisionError

UNCONFIGURED, INACTIVE, ACTIVE = "unconfigured", "inactive", "active"


class GuardedLifecycleNode(LifecycleNode):
    """Turns every failure of a transition into a state and a sentence.

    Derived classes override the hooks `configure`, `activate`, `deactivate`, `cleanup`, which may raise anything: then
    the node falls back to where it came from, or, if that fails too, to unconfigured.

    Args:
        name: of the node.
        context: rclpy's; None for the default one.

    Attributes:
        problem: why the last transition failed; empty if it did not.
    """

    def __init__(self, name: str, *, context: Context | None = None) -> None:
        self.problem = ""
        super().__init__(name, context=context)
        # Up to ROS 2 Jazzy an impossible transition leaves rclpy's service callback as an exception, and ends spin().
        service = self._service_change_state
        service.callback = self._answering(service.callback)

    @property
    def state(self) -> str:
        """The lifecycle state's name, e.g. "active", or in a transition e.g. "configuring"."""
        return str(self._state_machine.current_state[1])

    def configure(self) -> None:
        """Read the parameters and acquire what they name."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working; undoes `activate`, also one that broke off."""

    def cleanup(self) -> None:
        """Release everything; undoes `configure`, also one that broke off."""

    def state_changed(self) -> None:
        """Called in the middle of every transition and whenever one failed."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `configure`."""
        return self._transition("configure", self.configure, undo=self.cleanup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `activate`."""
        return self._transition("activate", self.activate, undo=self.deactivate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `deactivate`."""
        return self._transition("deactivate", self.deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See `cleanup`."""
        return self._transition("clean up", self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, from any state."""
        return self._transition("shut down", self.release)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything; the node is unconfigured then."""
        problem = self.problem
        self._transition("recover", self.release)
        self.problem = problem
        return TransitionCallbackReturn.SUCCESS

    def release(self) -> None:
        """Deactivate and clean up; the latter also when the former fails."""
        try:
            self.deactivate()
        finally:
            self.cleanup()

    def _transition(
        self, what: str, action: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        self.problem = ""
        try:
            self.state_changed()
            action()
        except Exception as error:  # noqa: BLE001 - it becomes the node's state, and rclpy would swallow it
            self._explain(what, error)
        else:
            return TransitionCallbackReturn.SUCCESS
        if undo is None:
            return TransitionCallbackReturn.ERROR
        try:
            undo()
        except Exception as error:  # noqa: BLE001 - then everything is released
            self._explain(f"undo that, after failing to {what}", error)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.FAILURE

    def _explain(self, what: str, error: Exception) -> None:
        known = isinstance(error, VisionError)
        problem = f"cannot {what}: {error if known else f'{type(error).__name__}: {error}'}"
        self.problem = f"{self.problem}; {problem}" if self.problem else problem
        if self.context.ok():  # otherwise a signal came, and that explains it
            self.get_logger().error(problem if known else f"{problem}\n{traceback.format_exc()}")

    def _answering(self, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def answer(request: Any, response: Any) -> Any:
            try:
                response = callback(request, response)
            except rclpy_implementation.RCLError as error:
                self.get_logger().error(f"refused transition {request.transition.id}: {error}")
                response.success = False
            self.state_changed()
            return response

        return answer
