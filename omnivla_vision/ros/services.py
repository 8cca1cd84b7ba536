"""A service whose answer depends on when it was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from std_srvs.srv import Trigger


def create_timed_trigger(node: LifecycleNode, name: str, answer: Callable[[int, Trigger.Response], None]) -> None:
    """Create a std_srvs/Trigger service.

    Args:
        node: owns the service.
        name: of the service.
        answer: fills the response; gets the time at which the request was sent, in nanoseconds since 1970 by the
            client's clock, 0 where the middleware does not tell.
    """
    service: Any = node.create_service(Trigger, name, lambda request, response: response)
    send_response = service.send_response

    # rclpy shows the request's header to nobody but this method, on every distribution.
    def answer_and_send(response: Trigger.Response, header: Any) -> None:
        answer(int(getattr(header, "source_timestamp", 0)), response)
        send_response(response, header)

    service.send_response = answer_and_send
