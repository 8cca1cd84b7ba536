"""The example of a consumer, against the real node."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from omnivla_vision.ros.messages import image_message
from test.ros.conftest import TIMEOUT_S, frame, running

STUB = Path(__file__).parents[2] / "examples" / "policy_stub.py"


def test_it_prints_rate_and_age_and_checks_the_fingerprint(tmp_path: Path) -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    with running(tmp_path / "log", encode_ms=0) as setup, (tmp_path / "stubs").open("w+") as output:
        arguments = [sys.executable, str(STUB), "--ros-args", "-r", "tokens:=/robot/vision_node/tokens"]
        stubs = [
            subprocess.Popen(
                [*arguments, "-r", f"__node:={name}", "-p", f"fingerprint:={fingerprint}"],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            for name, fingerprint in (("content", "constant"), ("picky", "another"))
        ]
        try:
            setup.wait_for(lambda: setup.probe.node.count_subscribers("/robot/vision_node/tokens") == 3, "the stubs")
            setup.probe.goal.publish(frame(black))
            tokens = r"tokens \[2, 256, 1152\] float16 of constant, goal [0-9a-f]{8}"
            good = re.compile(r"\[content\]: \d+ Hz, -?\d+ ms old: " + tokens)
            refusals = ("[picky]: tokens of constant; this policy needs another", "[picky]: 0 Hz")
            deadline, text = time.monotonic() + TIMEOUT_S, ""
            while time.monotonic() < deadline and not (good.search(text) and all(line in text for line in refusals)):
                setup.probe.camera.publish(image_message(black, stamp_ns=time.time_ns(), frame_id="camera"))
                time.sleep(0.05)
                text = (tmp_path / "stubs").read_text()
            assert good.search(text), text
            assert all(line in text for line in refusals), text
        finally:
            for stub in stubs:
                stub.send_signal(signal.SIGINT)
        assert [stub.wait(TIMEOUT_S) for stub in stubs] == [0, 0]
