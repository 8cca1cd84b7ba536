"""A program that is one node."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import rclpy
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from omnivla_vision.process import signals
from omnivla_vision.ros.arguments import ArgumentsError, explain
from omnivla_vision.ros.executor import make_executor
from omnivla_vision.ros.log_files import ros_arguments

WAKE_UP_S = 1.0
AnyNode = TypeVar("AnyNode", bound=Node)


def run_node(
    make: Callable[[], AnyNode],
    args: list[str] | None = None,
    *,
    start: Callable[[AnyNode], None] = lambda node: None,
) -> int:
    """Spin a node until SIGINT or SIGTERM, however many of them come.

    Returns the exit code: 0, or 1 for arguments that ROS cannot read, which stderr explains.

    Args:
        make: the node's class, or what else makes it.
        args: with ROS's arguments among them; None for the process's own.
        start: called once, before spinning.
    """
    signals.note()
    try:
        with ExitStack() as stack:  # a thread still inside the executor or the node at exit would abort the process
            stack.callback(rclpy.try_shutdown)
            _init(ros_arguments(args))
            node = make()
            stack.callback(node.destroy_node)
            executor = make_executor()
            stack.callback(executor.shutdown)
            executor.add_node(node)
            start(node)
            # Not spin(): a signal that comes at the wrong moment does not wake it, and it would wait for ever.
            while rclpy.ok() and not signals.came():
                executor.spin_once(timeout_sec=WAKE_UP_S)
    except ArgumentsError as error:
        print(error, file=sys.stderr)
        return 1
    except (Exception, KeyboardInterrupt):
        # A signal shuts rclpy down under whatever is being done at that moment.
        if not signals.came():
            raise
    signals.ignore()
    return 0


def _init(arguments: list[str]) -> None:
    try:
        rclpy.init(args=arguments)
    except rclpy_implementation.RCLError as error:
        raise explain(arguments, error) from error
