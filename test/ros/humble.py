"""ROS 2 Humble's rclpy, as far as this package notices a difference, over a later one; `python humble.py PROGRAM ...`.

After rclpy 3.3: a subscription's callback gets the message alone, executors take and execute in two steps, and there is
no matched event.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import rclpy.event_handler
import rclpy.executors
from rclpy.executors import await_or_execute
from rclpy.subscription import Subscription


class HumbleExecutor(rclpy.executors.SingleThreadedExecutor):
    """With the hooks of Humble's executor, and what they do there."""

    def _take_subscription(self, sub: Any) -> Any:
        with sub.handle:
            msg_info = sub.handle.take_message(sub.msg_type, sub.raw)
            if msg_info is not None:
                return msg_info[0]
        return None

    async def _execute_subscription(self, sub: Any, msg: Any) -> None:
        if msg:
            await await_or_execute(sub.callback, msg)

    def _make_handler(self, entity: Any, node: Any, take_from_wait_list: Any) -> Any:
        """Join the two steps, as later executors want them."""
        if not isinstance(entity, Subscription):
            return super()._make_handler(entity, node, take_from_wait_list)

        def take(sub: Any) -> Any:
            taken = self._take_subscription(sub)

            async def execute() -> None:
                await self._execute_subscription(sub, taken)

            return execute

        return super()._make_handler(entity, node, take)


class HumbleEventCallbacks(rclpy.event_handler.SubscriptionEventCallbacks):
    """Without the events that came later."""

    def __init__(
        self,
        *,
        deadline: Any = None,
        incompatible_qos: Any = None,
        liveliness: Any = None,
        message_lost: Any = None,
        use_default_callbacks: bool = True,
    ) -> None:
        super().__init__(
            deadline=deadline,
            incompatible_qos=incompatible_qos,
            liveliness=liveliness,
            message_lost=message_lost,
            use_default_callbacks=use_default_callbacks,
        )


def emulate() -> None:
    """From now on; before the modules that import from rclpy are imported."""
    rclpy.executors.SingleThreadedExecutor = HumbleExecutor  # type: ignore[misc]
    rclpy.event_handler.SubscriptionEventCallbacks = HumbleEventCallbacks  # type: ignore[misc]
    del Subscription.CallbackType
    del Subscription.callback  # the property that looks at the signature; there it is a plain attribute


if __name__ == "__main__":
    emulate()
    del sys.argv[0]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(sys.argv[0]).parent))
        runpy.run_path(sys.argv[0], run_name="__main__")
