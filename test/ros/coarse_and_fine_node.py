"""The node, with the preset `small` in OpenTrackVLA's shape: fine tokens of the present frame, coarse ones of all.

Of few blocks, so that it gives real tokens in milliseconds.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from omnivla_vision.network.history import History
from omnivla_vision.network.outputs import Output, get_pooling
from omnivla_vision.network.presets import PRESETS
from omnivla_vision.ros.node import main
from test.presets import shallow

COARSE_AND_FINE = replace(
    shallow("small"),
    outputs=(Output("fine", get_pooling("8x8"), "present"), Output("coarse", get_pooling("2x2"), "all")),
    history=History(frames=31),
)

if __name__ == "__main__":
    PRESETS["small"] = COARSE_AND_FINE
    sys.exit(main(sys.argv[1:]))
