"""Mode live: a bag over DDS into a real node, and every frame accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal import Goal
from omnivla_vision.replay.decoding import read_images
from omnivla_vision.replay.token_bag import TOKENS_TOPIC
from omnivla_vision.resources import resource_path
from omnivla_vision.ros.drive.node_process import NodeProcess
from omnivla_vision.tokens.channels import Channels
from omnivla_vision.tokens.difference import cosine
from omnivla_vision.tokens.packing import unpack
from test.encoders import random_encoder
from test.replay import bags
from test.ros.conftest import SHARED

PROGRAM = str(Path(sys.executable).parent / "omnivla-vision")


def live(bag: Path, out: Path, *more: object) -> dict[str, Any]:
    """Run the command; metrics.json."""
    command = [PROGRAM, "replay", bag, "--mode", "live", "--out", out, *more]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=240)
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    # On a machine that has no time for them the middleware loses best-effort frames; then the command says so.
    lost = metrics["frames"]["lost"] > 0
    assert result.returncode == int(lost), result.stdout + result.stderr
    assert any("never came to the node" in note for note in metrics["notes"]) == lost
    return metrics


def accounted_for(frames: dict[str, int], sent: int) -> bool:
    """Every frame has come to an end, and a good one: a clock that jumps makes those that wait stale."""
    settled = frames["published"] + frames["superseded"] + frames["stale"]
    return frames["received"] == settled and frames["received"] + frames["lost"] == sent


def test_a_looped_bag_on_sim_time(tmp_path: Path, reference: VisionEncoder) -> None:
    bag = bags.write(tmp_path / "bag", bags.drive(8))
    out = tmp_path / "out"
    metrics = live(bag, out, "--preset", "small", "--seed", 5, "--clock", "--loop", 2, "--rate", 0.5)
    frames = metrics["frames"]
    assert accounted_for(frames, 16)
    rows = metrics["rows"]
    assert len(rows) == frames["published"] > 0
    assert rows[-1]["index"] >= 8, "the second loop came through"
    assert all(row["stage_ms"]["end to end"] >= row["stage_ms"]["encode"] for row in rows)
    assert metrics["goals"][0]["source"] == bags.GOAL
    assert metrics["provenance"]["fingerprint"] == reference.provenance.fingerprint
    assert "use_sim_time" not in (out / "vision_node.log").read_text()
    with AnyReader([out / "tokens.mcap"]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        assert counts == {bags.CAMERA: 16, bags.GOAL: 2, TOKENS_TOPIC: len(rows)}
        connections = [c for c in reader.connections if c.topic == TOKENS_TOPIC]
        *_, last = (reader.deserialize(data, c.msgtype) for c, _, data in reader.messages(connections))
    reference.set_goal(Goal(rgb=bags.picture(7)))
    expected = reference.encode(bags.picture(rows[-1]["index"] % 8)).tokens.numpy().astype(np.float16)
    # The other process may split its sums over other threads.
    assert np.allclose(unpack(last), expected, rtol=0, atol=0.02 * float(np.abs(expected).max()))


@pytest.mark.slow
def test_pooled_tokens_are_measured_as_they_come(tmp_path: Path) -> None:
    bag = bags.write(tmp_path / "bag", bags.drive(4))
    metrics = live(
        bag, tmp_path / "out", "--preset", "small", "--seed", 5, "--pool", "4x2", "--engine", "eager", "--rate", 0.5
    )
    reference = random_encoder("small", seed=5, output_pool="4x2")
    reference.set_goal(Goal(rgb=bags.picture(3)))
    row = metrics["rows"][-1]
    here, there = reference.encode(bags.picture(row["index"])).by_name["tokens"][..., :384].numpy()
    channels = Channels.of(there)
    expected = cosine(channels.standardize(here), channels.standardize(there)).mean()
    assert row["goal_cosines"]["dinov2"] == pytest.approx(expected, abs=0.01)
    assert row["norms"]["dinov2"] == pytest.approx(np.linalg.norm(here, axis=1).mean(), rel=0.01)
    assert (tmp_path / "out" / "report.html").exists()


def test_a_running_node_with_a_goal_of_our_own(tmp_path: Path, node: NodeProcess) -> None:
    bag = bags.write(tmp_path / "bag", bags.drive(8, goal=False))
    attach = ["--attach", f"{SHARED}/vision_node", "--goal-at", 0.6, "--no-tokens"]
    metrics = live(bag, tmp_path / "out", *attach)
    assert accounted_for(metrics["frames"], 8)
    assert metrics["rows"][0]["goal_cosines"], "the goal was there before the first frame"
    assert metrics["goals"][0]["source"] == f"{bags.CAMERA} at 0.6 s"
    assert not (tmp_path / "out" / "tokens.mcap").exists()
    # Once more: the node's counters go on, the report starts at zero.
    again = live(bag, tmp_path / "again", *attach, "--duration", 0.35)
    assert accounted_for(again["frames"], 4)


def test_compressed_images_are_played_as_they_are(tmp_path: Path, reference: VisionEncoder) -> None:
    drive = resource_path("resource/sample_drive")
    metrics = live(drive, tmp_path, "--preset", "small", "--seed", 5, "--duration", 0.75, "--rate", 0.25)
    assert accounted_for(metrics["frames"], 8)
    assert metrics["goals"][0]["source"] == "/goal_image/compressed"
    row = metrics["rows"][-1]
    goal = next(read_images(drive, "/goal_image/compressed"))
    frame = next(islice(read_images(drive, "/camera/image_raw/compressed"), row["index"], None))
    reference.set_goal(Goal(rgb=goal.rgb))
    tokens = reference.encode(frame.rgb).tokens.numpy()
    here, there = tokens[:256, :384], tokens[256:, :384]
    channels = Channels.of(there)
    expected = cosine(channels.standardize(here), channels.standardize(there)).mean()
    assert row["goal_cosines"]["dinov2"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("stamps", [[0.0] * 30, [index // 2 / 10 for index in range(30)]], ids=["all equal", "pairs"])
def test_equal_stamps_do_not_mix_up_rows(tmp_path: Path, reference: VisionEncoder, stamps: list[float]) -> None:
    frames = [bags.raw(bags.picture(index), index / 10, stamp_s=stamp) for index, stamp in enumerate(stamps)]
    bag = bags.write(tmp_path / "bag", frames)
    metrics = live(bag, tmp_path / "out", "--preset", "small", "--seed", 5, "--rate", 2)  # several wait at a time
    assert accounted_for(metrics["frames"], len(stamps))
    rows = metrics["rows"]
    assert len({row["index"] for row in rows}) == len(rows) == metrics["frames"]["published"] > 0
    reference.set_goal(None)
    for row in rows:
        tokens = reference.encode(bags.picture(row["index"])).tokens.numpy()[:256]
        for name, part in (("dinov2", tokens[:, :384]), ("siglip", tokens[:, 384:])):
            assert row["norms"][name] == pytest.approx(float(np.linalg.norm(part, axis=1).mean()), rel=1e-3)
    moved = len(stamps) - len(set(stamps))
    assert any(f"{moved} frames had the stamp of an earlier one" in note for note in metrics["notes"])


def test_a_gate_needs_mode_exact(tmp_path: Path) -> None:
    command = [PROGRAM, "replay", str(tmp_path), "--mode", "live", "--against", "b"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert "--against in mode live, which drops frames; use --mode exact" in result.stderr
