"""tokens.mcap: the bag's images as they were, and tokens that every reader of mcap understands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

pytest.importorskip("torch")

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.replay.bag import Bag
from omnivla_vision.replay.exact import ExactReplay
from omnivla_vision.replay.selection import select
from omnivla_vision.replay.token_bag import TOKENS_TOPIC, TOKENS_TYPE, TokenBag, token_types
from omnivla_vision.tokens.packing import unpack
from test.replay import bags


@pytest.fixture
def written(tmp_path: Path, encoder: VisionEncoder) -> tuple[Path, Path]:
    """A bag, and what a replay wrote."""
    path, out = bags.write(tmp_path / "bag", bags.drive(5)), tmp_path / "out" / "tokens.mcap"
    with Bag(path) as bag:
        selection = select(bag)
    with TokenBag(out) as token_bag:
        ExactReplay(path, selection, encoder, token_bag=token_bag).run({})
    return path, out


def test_images_are_copied_byte_for_byte(written: tuple[Path, Path]) -> None:
    with Bag(written[0]) as before, Bag(written[1]) as after:
        topics = [bags.CAMERA, bags.GOAL]
        assert list(before.records(topics)) == list(after.records(topics))
        assert [(topic.name, topic.count) for topic in after.topics] == [
            (bags.CAMERA, 5),
            (bags.GOAL, 1),
            (TOKENS_TOPIC, 5),
        ]
    assert not list(written[1].parent.glob(".tokens-*"))


def test_tokens_are_read_with_the_files_own_definition(written: tuple[Path, Path], encoder: VisionEncoder) -> None:
    with AnyReader([written[1]]) as reader:  # knows no type but those in the file
        connections = [c for c in reader.connections if c.topic == TOKENS_TOPIC]
        assert [c.msgtype for c in connections] == [TOKENS_TYPE]
        messages = [(t, reader.deserialize(data, c.msgtype)) for c, t, data in reader.messages(connections)]
    encoder.set_goal(None)
    for index, (time_ns, message) in enumerate(messages):
        assert time_ns == bags.START_NS + round(index * 1e8)
        assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == time_ns
        assert (message.header.frame_id, message.sequence) == ("camera", index)
        assert message.goal_valid == (index > 0)
        goal_stamp_ns = message.goal_stamp.sec * 10**9 + message.goal_stamp.nanosec
        assert goal_stamp_ns == (bags.START_NS + 50_000_000 if index else 0)
        assert (list(message.image_names), message.space) == (["current", "goal"], "fused")
        assert list(message.segment_names) == ["dinov2", "siglip"]
        assert list(message.stage_names) == ["decode", "preprocess", "encode"]
        expected = encoder.encode(bags.picture(index)).tokens[:16].numpy().astype(np.float16)
        assert np.array_equal(unpack(message)[:16], expected)


def test_rclpy_reads_the_same_values(written: tuple[Path, Path]) -> None:
    """Through ROS's own (de)serialization and back, no byte changes but those that pad."""
    serialization = pytest.importorskip("rclpy.serialization")
    from omnivla_vision.msg import VisualTokens

    types = token_types()
    with Bag(written[1]) as bag:
        for record in bag.records([TOKENS_TOPIC]):
            message = serialization.deserialize_message(record.data, VisualTokens)
            assert message.weights == "random"
            again = types.deserialize_cdr(serialization.serialize_message(message), TOKENS_TYPE)
            assert bytes(types.serialize_cdr(again, TOKENS_TYPE)) == record.data


def test_foxgloves_own_reader_understands_it(written: tuple[Path, Path]) -> None:
    reader = pytest.importorskip("mcap.reader")
    decoder = pytest.importorskip("mcap_ros2.decoder").DecoderFactory()
    with written[1].open("rb") as file:
        decoded = list(reader.make_reader(file, decoder_factories=[decoder]).iter_decoded_messages())
    tokens = [message for schema, _, _, message in decoded if schema.name == TOKENS_TYPE]
    assert len(decoded) == 11
    assert [list(message.shape) for message in tokens] == [[32, 80]] * 5
    assert np.isfinite(unpack(tokens[0])).all()


def test_a_failed_run_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens.mcap"
    file.write_bytes(b"old")

    def fail() -> None:
        with TokenBag(file) as bag:
            bag.write(bags.CAMERA, bags.IMAGE, 0, b"\0\1\0\0")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
