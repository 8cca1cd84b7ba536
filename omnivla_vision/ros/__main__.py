"""The vision node's process, from its first moment on: `vision_node`, or `python -m omnivla_vision.ros`."""

from __future__ import annotations

import sys

from omnivla_vision.process import signals


def main() -> int:
    """Run the node until SIGINT or SIGTERM; returns the exit code."""
    signals.exit_at_once()
    from omnivla_vision.ros import node  # torch and rclpy take seconds

    return node.main()


if __name__ == "__main__":
    sys.exit(main())
