"""The node with its network replaced by a constant, so that only the node itself is measured or tested."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from constant_encoder import constant_encoder

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.loading import history_options
from omnivla_vision.network.presets import DEFAULT_PRESET, get_preset
from omnivla_vision.network.with_history import with_history
from omnivla_vision.ros.node import main
from omnivla_vision.ros.outputs import Outputs
from omnivla_vision.ros.settings import VisionParameters
from omnivla_vision.ros.start_encoder import encoder_options


def record_overhead(file: Path) -> None:
    """From now on, write a line per frame: ms from its message's reception until DDS has its tokens, without encode."""
    publish_tokens, lines = Outputs.publish_tokens, file.open("w", buffering=1)

    def publish_and_record(self: Outputs, result: Any) -> None:
        publish_tokens(self, result)
        spent_ms = (result.frame.receive_ms or 0.0) + (time.perf_counter() - result.frame.received_s) * 1e3
        lines.write(f"{spent_ms - result.tokens.stage_ms['encode']:.3f}\n")

    Outputs.publish_tokens = publish_and_record  # type: ignore[method-assign]


def run(arguments: list[str]) -> int:
    """Run the node; ROS arguments follow --ros-args."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encode-ms", type=float, default=0.0, help="how long an image takes (%(default)s)")
    parser.add_argument("--load-ms", type=float, default=0.0, help="how long configuring takes (%(default)s)")
    parser.add_argument("--overhead", type=Path, metavar="FILE", help="write the node's own milliseconds per frame")
    options, ros_arguments = parser.parse_known_args(arguments)

    if options.overhead:
        record_overhead(options.overhead)

    def load(settings: VisionParameters, logger: Any) -> VisionEncoder:
        # In steps, as real loading is: a signal that another thread's C code receives does not end a sleep.
        deadline = time.monotonic() + options.load_ms / 1e3
        while time.monotonic() < deadline:
            time.sleep(0.01)
        return constant_encoder(
            with_history(get_preset(settings.preset or DEFAULT_PRESET), history_options(encoder_options(settings))),
            encode_s=options.encode_ms / 1e3,
            cameras=settings.cameras,
            takes_goal=settings.takes_goal,
        )

    return main(ros_arguments, load)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
