"""Every encoding through the real node, and two thousand messages that are no images."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from omnivla_vision.msg import VisualTokens
from sensor_msgs.msg import CompressedImage, Image

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.images.encodings import ENCODINGS
from omnivla_vision.images.raw import RawImage
from omnivla_vision.ros.messages import bytes_field, ns_to_stamp
from omnivla_vision.tokens.packing import pack, unpack
from test.ros.conftest import STAMP_NS, Setup, encode_one, frame, running

BATCH, EXAMPLES = 25, 45  # 1125 of each kind
# Room for all of them, so that every one arrives and is counted.
DEEP = BATCH * EXAMPLES + 10
RELIABLE = {
    f"qos_overrides./robot/{topic}.subscription.{policy}": value
    for topic in ("image_raw", "image_raw/compressed")
    for policy, value in (("reliability", "reliable"), ("depth", DEEP))
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(setup: Setup, reference: VisionEncoder, encoding: str) -> None:
    """The node's tokens are the core's, whose conversions have tests of their own."""
    kind = ENCODINGS[encoding]
    number = list(ENCODINGS).index(encoding)
    width, height, step = 64, 48, 64 * kind.row_bytes + (6 if kind.padding else 0)
    data = np.random.default_rng(number).integers(0, 256, step * kind.rows(height), np.uint8)
    message = Image(encoding=encoding, width=width, height=height, step=step, is_bigendian=number % 2)
    message.header.stamp = ns_to_stamp(STAMP_NS + number)
    message.data = bytes_field(data)
    rgb = RawImage(
        data=data, width=width, height=height, encoding=encoding, step=step, is_bigendian=bool(number % 2)
    ).rgb()
    reference.set_goal(None)
    expected = unpack(pack(reference.encode(rgb).tokens, "float16"))
    assert np.array_equal(unpack(encode_one(setup.probe, message)), expected)


def compressed(rgb: NDArray[np.uint8], suffix: str, number: int) -> CompressedImage:
    _, data = cv2.imencode(suffix, rgb[..., ::-1])
    message = CompressedImage(format=suffix[1:], data=bytes_field(data.reshape(-1)))
    message.header.stamp = ns_to_stamp(STAMP_NS + number)
    return message


sizes = st.sampled_from([0, 1, 2, 3, 47, 64, 65535, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
stamps = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1))
# Mostly such that width, height, step and data agree in all but one point, where the real checks are.
raw_messages = st.builds(
    dict,
    encoding=st.sampled_from([*ENCODINGS, "16UC1", "32FC1", "", "RGB8", "rgb8\n"]) | st.text(max_size=12),
    width=sizes,
    height=sizes,
    step=sizes,
    size=st.integers(0, 200),
    is_bigendian=st.integers(0, 255),
    stamp=stamps,
)
small = np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8)
files = [bytes(compressed(small, suffix, 0).data) for suffix in (".jpg", ".png", ".webp")]


@st.composite
def broken_files(draw: st.DrawFn) -> bytes:
    """A picture cut off, with bytes changed, or no picture at all."""
    kind = draw(st.sampled_from(["cut", "changed", "noise", "header"]))
    file = bytearray(draw(st.sampled_from(files)))
    if kind == "cut":
        return bytes(file[: draw(st.integers(0, len(file) - 1))])
    if kind == "noise":
        return draw(st.binary(max_size=60))
    positions = st.integers(0, len(file) - 1 if kind == "changed" else 40)
    for position, value in draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=8)):
        file[position] = value
    return bytes(file)


def to_raw(fields: dict[str, Any]) -> Image:
    message = Image(**{k: fields[k] for k in ("encoding", "width", "height", "step", "is_bigendian")})
    message.data = bytes_field(np.zeros(fields["size"], np.uint8))
    message.header.stamp.sec, message.header.stamp.nanosec = fields["stamp"]
    return message


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_malformed_messages_leave_no_trace(tmp_path: Path, transport: str) -> None:
    """They are refused or, when they happen to be pictures, encoded; a good frame gives the same tokens as before."""
    rgb = np.random.default_rng(4).integers(0, 256, (48, 64, 3), np.uint8)
    good = frame(rgb) if transport == "raw" else compressed(rgb, ".png", 0)
    strategy = raw_messages.map(to_raw) if transport == "raw" else broken_files()
    sent = 1
    with running(
        tmp_path / "log", camera_transport=transport, goal_transport=transport, log__period=60.0, seed=5, **RELIABLE
    ) as setup:
        before = encode_one(setup.probe, good)
        camera = setup.probe.node.create_publisher(type(good), setup.probe.camera.topic_name, DEEP)
        setup.wait_for(lambda: camera.get_subscription_count() == 1, "the second publisher")

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(strategy, min_size=BATCH, max_size=BATCH))
        def throw(batch: list[Any]) -> None:
            nonlocal sent
            for item in batch:
                message = item
                if transport == "compressed":
                    message = CompressedImage(format="jpeg", data=bytes_field(np.frombuffer(item, np.uint8)))
                camera.publish(message)
                setup.probe.goal.publish(message)
                sent += 1
            setup.node.check()

        throw()
        assert sent > 1000
        counts = setup.settled(sent)
        assert counts["failed"] == 0
        assert counts["rejected"] > 900 if transport == "raw" else counts["rejected"] > 500
        numbers = count(1)

        def after_clearing() -> VisualTokens:
            setup.control.clear_goal()
            good.header.stamp = ns_to_stamp(STAMP_NS + next(numbers) * 10**9)
            return encode_one(setup.probe, good)

        # A goal that reached a busy machine's middleware a second after that counts as a new one.
        setup.wait_for(lambda: not after_clearing().goal_valid, "no goal to be left")
        after = after_clearing()
        assert not after.goal_valid
        assert after.data == before.data
    assert "Traceback" not in setup.node.log.read_text()
