"""The node, with a preset `robottrack-384` of one block in each encoder: its real shapes in half a second a frame."""

from __future__ import annotations

import sys

from omnivla_vision.network.presets import PRESETS
from omnivla_vision.ros.node import main
from test.presets import shallow

ROBOTTRACK = shallow("robottrack-384", depth=1)

if __name__ == "__main__":
    PRESETS["robottrack-384"] = ROBOTTRACK
    sys.exit(main(sys.argv[1:]))
