"""Video in bags: ffmpeg_image_transport's packets, and H.264 in CompressedImage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rosbags.rosbag2 import Writer

pytest.importorskip("torch")
pytest.importorskip("av")

import av

from omnivla_vision.replay.bag import COMPRESSED_IMAGE, VIDEO_PACKET, Bag, Topic
from omnivla_vision.replay.decoding import Decoder, message_types
from omnivla_vision.replay.report.page import write_report
from omnivla_vision.replay.result import Replay
from omnivla_vision.replay.steps import frame_at
from omnivla_vision.replay.token_bag import TokenBag
from omnivla_vision.replay.video import VideoSupportMissingError
from test.replay import bags

Play = Callable[..., Replay]
TYPES = message_types()
TOPIC = "/camera/image_raw/ffmpeg"
FRAMES = 9


def picture(index: int) -> NDArray[np.uint8]:
    """Smooth, so that a lossy codec keeps it; brighter from frame to frame."""
    return cv2.GaussianBlur(bags.picture(3), (0, 0), 5) // 3 + np.uint8(15 * index)


def packets(encoder: str = "libx264", **options: str) -> list[bytes]:
    """Every fourth a key frame; one packet a picture."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 48, "yuv420p", Fraction(1, 10)
    context.options = {"g": "4", **options}
    frames = [av.VideoFrame.from_ndarray(picture(index), format="rgb24") for index in range(FRAMES)]
    for index, frame in enumerate(frames):
        frame.pts = index
    return [bytes(packet) for frame in [*frames, None] for packet in context.encode(frame)]


def message(msgtype: str, data: bytes, index: int, name: str) -> bytes:
    time = TYPES.types["builtin_interfaces/msg/Time"]
    stamp = time(*divmod(bags.START_NS + index * 10**8, 10**9))
    header, payload = TYPES.types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera"), np.frombuffer(data, np.uint8)
    if msgtype == COMPRESSED_IMAGE:
        fields = {"header": header, "format": name, "data": payload}
    else:
        numbers = {"width": 64, "height": 48, "pts": index, "flags": 0, "is_bigendian": False}
        fields = {"header": header, "encoding": name, "data": payload, **numbers}
    return bytes(TYPES.serialize_cdr(TYPES.types[msgtype](**fields), msgtype))


def write(path: Path, stream: list[bytes], msgtype: str = VIDEO_PACKET, name: str = "h264") -> Path:
    with Writer(path, version=9, storage_plugin=bags.MCAP) as bag:
        connection = bag.add_connection(TOPIC, msgtype, typestore=TYPES)
        for index, data in enumerate(stream):
            bag.write(connection, bags.START_NS + index * 10**8, message(msgtype, data, index, name))
    return path


def assert_pictures(path: Path, indices: list[int]) -> None:
    decoder = Decoder()
    with Bag(path) as bag:
        frames = [decoder.decode(record) for record in bag.records([TOPIC])]
    for index, frame in zip(indices, frames, strict=True):
        assert frame.stamp_ns == bags.START_NS + index * 10**8
        assert np.abs(frame.rgb.astype(int) - picture(index)).mean() < 4


@pytest.mark.parametrize(
    ("msgtype", "name"),
    [(VIDEO_PACKET, "h264"), (VIDEO_PACKET, "libx264"), (VIDEO_PACKET, "h264;bgr8;bgr8"), (COMPRESSED_IMAGE, "h264")],
)
def test_every_packet_is_its_own_picture(tmp_path: Path, replay: Play, msgtype: str, name: str) -> None:
    path = write(tmp_path / "bag", packets(tune="zerolatency"), msgtype, name)
    assert_pictures(path, list(range(FRAMES)))
    result = replay(path)
    assert (result.counts.published, result.selection.camera.name) == (FRAMES, TOPIC)
    write_report(tmp_path / "report.html", result)


@pytest.mark.parametrize(("encoder", "name"), [("libx265", "hevc"), ("libvpx", "vp8"), ("libvpx-vp9", "vp9")])
def test_other_codecs(tmp_path: Path, encoder: str, name: str) -> None:
    low_latency = {"libx265": {"tune": "zerolatency"}}.get(encoder, {"lag-in-frames": "0", "deadline": "realtime"})
    try:
        stream = packets(encoder, **low_latency)
    except av.FFmpegError as error:
        pytest.skip(f"this ffmpeg cannot encode {name}: {error}")
    assert_pictures(write(tmp_path / "bag", stream, name=name), list(range(FRAMES)))


def test_a_stretch_begins_between_key_frames(tmp_path: Path, replay: Play) -> None:
    path = write(tmp_path / "bag", packets(tune="zerolatency"))
    whole, part = replay(path), replay(path, start_s=0.6)
    assert part.counts.published == FRAMES - 6
    assert [row.norms for row in part.rows] == [row.norms for row in whole.rows[6:]]
    moment = frame_at(path, Topic(TOPIC, VIDEO_PACKET, FRAMES), bags.START_NS + 550_000_000)
    assert np.abs(moment.rgb.astype(int) - picture(6)).mean() < 4


def test_packets_before_the_first_key_frame_are_rejected(tmp_path: Path, replay: Play) -> None:
    result = replay(write(tmp_path / "bag", packets(tune="zerolatency")[2:]))
    assert (result.counts.rejected, result.counts.published) == (2, FRAMES - 4)
    assert "key frame" in result.all_notes()[-1]


def test_pictures_out_of_order_never_get_anothers_stamp(tmp_path: Path, replay: Play) -> None:
    result = replay(write(tmp_path / "bag", packets(bf="2", preset="slow", **{"x264-params": "b-adapt=0"})))
    assert result.counts.rejected > 0
    assert "B-frames" in " ".join(result.all_notes())


def test_noise_is_rejected(tmp_path: Path, replay: Play) -> None:
    stream = packets(tune="zerolatency")
    stream[1] = bytes(50)
    result = replay(write(tmp_path / "bag", stream))
    assert result.counts.received == FRAMES
    assert result.counts.rejected >= 1


def test_larger_than_allowed(tmp_path: Path, replay: Play) -> None:
    result = replay(write(tmp_path / "bag", packets(tune="zerolatency")), max_pixels=64 * 48 - 1)
    assert result.counts.rejected == FRAMES
    assert "expected at most 3071 pixels" in result.all_notes()[-1]


def test_an_unknown_codec(tmp_path: Path, replay: Play) -> None:
    result = replay(write(tmp_path / "bag", [b"x"], name="theora"))
    assert "found video encoding 'theora'; expected H.264" in result.all_notes()[-1]


def test_without_pyav_the_extra_is_named(tmp_path: Path, replay: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "bag", packets(tune="zerolatency"))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoSupportMissingError, match=r"pip install 'omnivla-vision\[video\]'"):
        replay(path)


def test_packets_are_copied_beside_the_tokens(tmp_path: Path) -> None:
    stream = packets(tune="zerolatency")
    with Bag(write(tmp_path / "bag", stream)) as bag, TokenBag(tmp_path / "tokens.mcap") as tokens:
        for record in bag.records([TOPIC]):
            tokens.write_record(record)
    assert_pictures(tmp_path / "tokens.mcap", list(range(FRAMES)))
