"""The executor for the node's rclpy: what callbacks are told of a message is the same on every distribution."""

from __future__ import annotations

import inspect
from typing import Any

from rclpy.executors import SingleThreadedExecutor, await_or_execute
from rclpy.subscription import Subscription

# From Iron on (rclpy 922) a subscription looks at its callback's signature, and passes the message's info to two
# parameters. Humble's passes the message alone, although its middleware tells both.
PASSES_MESSAGE_INFO = hasattr(Subscription, "CallbackType")


class MessageInfoExecutor(SingleThreadedExecutor):
    """Humble's executor, calling subscriptions as later ones do: `callback(message)` or `callback(message, info)`.

    `info` is a dictionary with `source_timestamp` and `received_timestamp`, nanoseconds since 1970.
    """

    def _take_subscription(self, sub: Any) -> Any:
        with sub.handle:
            return sub.handle.take_message(sub.msg_type, sub.raw)  # (message, info), or None

    async def _execute_subscription(self, sub: Any, taken: Any) -> None:
        if taken is not None:
            await await_or_execute(sub.callback, *(taken if _wants_info(sub.callback) else taken[:1]))


def make_executor(**arguments: Any) -> SingleThreadedExecutor:
    """A SingleThreadedExecutor whose subscriptions may ask for the message's info."""
    return (SingleThreadedExecutor if PASSES_MESSAGE_INFO else MessageInfoExecutor)(**arguments)


def _wants_info(callback: Any) -> bool:
    """Whether a callback needs two arguments, by the rule of later releases."""
    try:
        inspect.signature(callback).bind(None)
    except TypeError:
        return True
    return False
