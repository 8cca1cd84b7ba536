"""A dataset's rows are what the robot's node publishes, bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from omnivla_vision.replay.token_bag import TOKENS_TOPIC
from omnivla_vision.ros.messages import stamp_to_ns
from omnivla_vision.tokens.outputs import unpack_outputs
from test.replay import bags

pytest.importorskip("lance")
PROGRAM = str(Path(sys.executable).parent / "omnivla-vision")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--engine", "eager"), id="eager"),
        pytest.param(("--engine", "eager", "--pool", "4x2", "--space", "projected"), id="pooled and projected"),
        pytest.param(("--engine", "onednn"), id="onednn", marks=pytest.mark.slow),
    ],
)
def test_rows_equal_what_the_node_publishes(tmp_path: Path, options: tuple[str, ...]) -> None:
    from omnivla_vision.dataset.store import open_dataset

    bag = bags.write(tmp_path / "bag", bags.drive(6))
    encoder = ("--preset", "small", "--seed", 5, "--threads", 1, *options)
    made = run("dataset", bag, "--out", tmp_path / "tokens.lance", *encoder)
    assert made.returncode == 0, made.stderr
    live = run("replay", bag, "--mode", "live", "--out", tmp_path / "live", "--rate", 0.25, *encoder)
    assert live.returncode == 0 or json.loads((tmp_path / "live/metrics.json").read_text())["frames"]["lost"], (
        live.stderr
    )
    table = open_dataset(str(tmp_path / "tokens.lance")).to_table().to_pylist()
    rows = {row["stamp_ns"]: np.array(row["tokens"], np.float16) for row in table}
    assert len(rows) == 6
    compared = 0
    with AnyReader([tmp_path / "live/tokens.mcap"]) as reader:
        connections = [c for c in reader.connections if c.topic == TOKENS_TOPIC]
        for connection, _, data in reader.messages(connections):
            message = reader.deserialize(data, connection.msgtype)
            current = unpack_outputs(message)["tokens"][0]  # the goal's rows follow
            assert current.tobytes() == rows[stamp_to_ns(message.header.stamp)].tobytes()
            compared += 1
    assert compared
