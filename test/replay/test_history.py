"""Past frames in exact replay: by the bag's stamps, in tokens.mcap, and the same when it is played again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

pytest.importorskip("torch")

from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.exact import ExactReplay
from omnivla_vision.replay.selection import select
from omnivla_vision.replay.token_bag import TOKENS_TOPIC, TokenBag
from omnivla_vision.tokens import unpack_outputs
from test.encoders import random_encoder
from test.replay import bags
from test.replay.conftest import TINY

SECOND = 10**9


def messages(file: Path) -> list[Any]:
    with AnyReader([file]) as reader:
        topics = [c for c in reader.connections if c.topic == TOKENS_TOPIC]
        return [reader.deserialize(data, c.msgtype) for c, _, data in reader.messages(topics)]


def test_past_frames_are_found_by_the_bags_stamps(tmp_path: Path) -> None:
    path = bags.write(tmp_path / "bag", bags.drive(8))  # 10 Hz
    encoder = random_encoder(TINY, seed=1, history_frames=2, history_spacing="0.2s", history_pool="none")
    with Bag(path) as bag:
        selection = select(bag)
    for lap in "12":
        # What the encoder saw before is not the bag's past.
        encoder.encode(bags.picture(0), stamp_ns=bags.START_NS - SECOND // 5)
        with TokenBag(tmp_path / f"{lap}.mcap") as token_bag:
            ExactReplay(path, selection, encoder, token_bag=token_bag).run({})
    first, second = (messages(tmp_path / f"{lap}.mcap") for lap in "12")
    assert len(first) == 8
    for index, message in enumerate(first):
        past = [n if n >= 0 else 0 if n == -1 else None for n in (index - 2, index - 4)]
        assert list(message.past_image_names) == ["t-0.2s", "t-0.4s"]
        assert list(message.past_image_valid) == [number is not None for number in past]
        found = unpack_outputs(message)["history"]
        for tokens, stamp, number in zip(found, message.past_image_stamps, past, strict=True):
            if number is None:
                assert (stamp.sec, stamp.nanosec, np.count_nonzero(tokens)) == (0, 0, 0)
            else:
                assert stamp == first[number].header.stamp
                np.testing.assert_array_equal(tokens, unpack_outputs(first[number])["tokens"][0])
        np.testing.assert_array_equal(message.data, second[index].data)
