"""From bags to a trained head: the tokens are the encoder's, bit for bit, and what is in them can be learned."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lance")

import torch

from omnivla_vision.dataset import Hindsight, TokenDataset
from omnivla_vision.tokens.packing import pack
from test.dataset.messages import twist
from test.encoders import random_encoder
from test.replay import bags
from test.replay.conftest import TINY

FRAMES, RATE_HZ = 30, 10.0
EXAMPLE = Path(__file__).parents[2] / "examples" / "train_from_dataset.py"


def picture(drive: int, frame: int) -> np.ndarray:
    """As bright as the robot is fast."""
    return (bags.picture(100 * drive + frame) * speed(drive, frame)).astype(np.uint8)


def speed(drive: int, frame: int) -> float:
    return 0.5 + 0.5 * float(np.sin(frame / 4 + drive))


@pytest.fixture
def drives(dataset: Callable[..., int], tmp_path: Path) -> Path:
    """Three drives of 3 s as a dataset; a command 10 ms before every frame."""
    folder = tmp_path / "drives"
    folder.mkdir()
    for drive in range(3):
        messages = []
        for frame in range(FRAMES):
            messages.append(twist(speed(drive, frame), frame / RATE_HZ))
            messages.append(bags.raw(picture(drive, frame), frame / RATE_HZ + 0.01))
        bags.write(folder / f"drive_{drive}", messages)
    assert dataset(folder, "--topics", "/cmd_vel") == 0
    return tmp_path / "tokens.lance"


def test_items_are_what_the_encoder_gives(drives: Path) -> None:
    data = TokenDataset(drives, goal=Hindsight(frames=(3, 3)), columns=["/cmd_vel"], window=[0, 1])
    encoder = random_encoder(TINY, seed=1, takes_goal=False)
    assert len(data) == 3 * (FRAMES - 3)
    for number in (0, 5, len(data) - 1):
        item = data[number]
        drive, frame = int(item["episode_index"]), int(item["frame_index"])
        for name, at in (("tokens", frame), ("goal", frame + 3)):
            encoded = encoder.encode(picture(drive, at)).outputs[0]
            bits = pack(encoded, "float16", tuple(item[name].shape)).data.tobytes()
            assert item[name].numpy().tobytes() == bits
        speeds = [speed(drive, frame), speed(drive, frame + 1)]
        assert item["/cmd_vel.linear"][:, 0].tolist() == pytest.approx(speeds)
        assert item["/cmd_vel.age_s"].tolist() == pytest.approx([0.01, 0.01])
    data.check(fingerprint=encoder.provenance.fingerprint, preprocessing_id=encoder.provenance.preprocessing_id)
    assert data[0]["tokens"].dtype == torch.float16


@pytest.mark.slow
def test_the_examples_loss_falls(drives: Path) -> None:
    command = [sys.executable, EXAMPLE, drives, "--epochs", "8", "--workers", "1", "--batch-size", "8"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    losses = [float(number) for number in re.findall(r"error ([\d.]+)", found.stdout)]
    assert len(losses) == 8
    assert losses[-1] < losses[0] / 3
