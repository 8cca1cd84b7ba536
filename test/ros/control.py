"""The node's services, as a lifecycle manager and an operator call them."""

from __future__ import annotations

from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.ros.drive.probe import Probe

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE


class Control:
    """Calls services of a node through a probe's own node; every call waits for its answer."""

    def __init__(self, probe: Probe, node: NodeProcess, *, timeout_s: float = 60.0, node_name: str = "vision_node"):
        self._probe = probe
        self._process = node
        self._timeout_s = timeout_s
        kinds = {
            "change_state": ChangeState,
            "get_state": GetState,
            "set_parameters": SetParameters,
            "clear_goal": Trigger,
        }
        self._clients = {name: probe.node.create_client(kind, f"{node_name}/{name}") for name, kind in kinds.items()}

    def call(self, name: str, request: Any) -> Any:
        """Call `~/name`."""
        client = self._clients[name]
        self._wait(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self._wait(future.done, f"an answer of {name}")
        return future.result()

    def change_state(self, transition: int, label: str = "") -> bool:
        """Ask for a transition."""
        request = ChangeState.Request(transition=Transition(id=transition, label=label))
        return bool(self.call("change_state", request).success)

    @property
    def state(self) -> str:
        """The lifecycle state."""
        return str(self.call("get_state", GetState.Request()).current_state.label)

    def set(self, name: str, value: Any) -> SetParametersResult:
        """Set one parameter."""
        parameter = Parameter(name, value=value).to_parameter_msg()
        return self.call("set_parameters", SetParameters.Request(parameters=[parameter])).results[0]

    def clear_goal(self) -> Trigger.Response:
        """Ask for no goal."""
        return self.call("clear_goal", Trigger.Request())

    def _wait(self, condition: Any, what: str) -> None:
        self._probe.wait_for(condition, what=what, timeout_s=self._timeout_s, node=self._process)
