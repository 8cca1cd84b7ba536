"""A service whose answer depends on when it was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from std_srvs.srv import Trigger


def create_timed_service(node: LifecycleNode, kind: Any, name: str, answer: Callable[[int, Any, Any], None]) -> None:
    """Create a service.

    Args:
        node: owns the service.
        kind: its type.
        name: of the service.
        answer: fills the response; gets the time at which the request was sent, in nanoseconds since 1970 by the
            client's clock, 0 where the middleware does not tell, and the request.
    """
    requests: list[Any] = []

    def keep(request: Any, response: Any) -> Any:
        requests[:] = [request]
        return response

    service: Any = node.create_service(kind, name, keep)
    send_response = service.send_response

    # rclpy shows the request's header to nobody but this method, on every distribution; it is called after `keep`.
    def answer_and_send(response: Any, header: Any) -> None:
        answer(int(getattr(header, "source_timestamp", 0)), requests.pop(), response)
        send_response(response, header)

    service.send_response = answer_and_send


def create_timed_trigger(node: LifecycleNode, name: str, answer: Callable[[int, Trigger.Response], None]) -> None:
    """Create a std_srvs/Trigger service, whose request says nothing but when it was sent."""
    create_timed_service(node, Trigger, name, lambda sent_ns, request, response: answer(sent_ns, response))
