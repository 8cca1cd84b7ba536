"""The sample drive is what the demo expects, and the reader refuses broken bags with a reason."""

import shutil
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from omnivla_vision.replay.bag import BagMissingError, BagUnreadableError, TopicMissingError, TopicTypeError
from omnivla_vision.replay.decoding import BagFrame, FrameUndecodableError, image_topics, read_images

RESOURCE = Path(__file__).resolve().parents[2] / "resource"
DRIVE = RESOURCE / "sample_drive"
CAMERA = "/camera/image_raw/compressed"
GOAL = "/goal_image/compressed"


@pytest.fixture(scope="module")
def drive() -> list[BagFrame]:
    return list(read_images(DRIVE, CAMERA))


@pytest.fixture(scope="module")
def goal() -> BagFrame:
    (frame,) = read_images(DRIVE, GOAL)
    return frame


def jpeg_of(image: NDArray[np.uint8], extension: str = ".jpg") -> bytes:
    return cv2.imencode(extension, image)[1].tobytes()


def write_bag(path: Path, payloads: list[bytes], *, topic: str = CAMERA) -> Path:
    """A bag of compressed images with these bytes, and one std_msgs/String on /chatter."""
    types = get_typestore(Stores.ROS2_KILTED)
    image, string = (types.types[name] for name in ("sensor_msgs/msg/CompressedImage", "std_msgs/msg/String"))
    header, time = types.types["std_msgs/msg/Header"], types.types["builtin_interfaces/msg/Time"]
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        images = bag.add_connection(topic, image.__msgtype__, typestore=types)
        chatter = bag.add_connection("/chatter", string.__msgtype__, typestore=types)
        bag.write(chatter, 1, types.serialize_cdr(string(data="hello"), string.__msgtype__))
        for index, payload in enumerate(payloads):
            message = image(
                header=header(stamp=time(sec=index, nanosec=7), frame_id="camera"),
                format="jpeg",
                data=np.frombuffer(payload, dtype=np.uint8),
            )
            bag.write(images, 10 + index, types.serialize_cdr(message, image.__msgtype__))
    return path


def test_is_small() -> None:
    assert sum(file.stat().st_size for file in DRIVE.iterdir()) <= 3_000_000


def test_topics(drive: list[BagFrame]) -> None:
    assert image_topics(DRIVE) == {CAMERA: len(drive), GOAL: 1}


def test_lasts_10_to_20_seconds_at_10_hz(drive: list[BagFrame]) -> None:
    stamps = np.array([frame.stamp_ns for frame in drive])
    assert 10e9 <= stamps[-1] - stamps[0] <= 20e9
    assert np.all(np.diff(stamps) == 100_000_000)


def test_frames_are_camera_images(drive: list[BagFrame]) -> None:
    for frame in drive:
        assert (frame.topic, frame.frame_id) == (CAMERA, "camera")
        assert frame.rgb.dtype == np.uint8
        assert frame.rgb.shape == (240, 320, 3)
        assert frame.time_ns >= frame.stamp_ns
        assert frame.rgb.std() > 20


def test_channels_are_rgb(drive: list[BagFrame]) -> None:
    red, _, blue = drive[0].rgb[:20, 200:260].reshape(-1, 3).mean(axis=0)
    assert blue > red + 30, "the sky is at the top"


def test_goal_comes_near_the_start(drive: list[BagFrame], goal: BagFrame) -> None:
    assert goal.rgb.shape == drive[0].rgb.shape
    assert 0 <= goal.time_ns - drive[0].time_ns <= 200_000_000


def test_view_approaches_the_goal(drive: list[BagFrame], goal: BagFrame) -> None:
    distance = np.array([np.abs(frame.rgb.astype(np.int16) - goal.rgb).mean() for frame in drive])
    first, middle, last = (part.mean() for part in np.array_split(distance, 3))
    assert first > middle > last
    assert distance[-1] < 0.5 * distance[0]


def test_motion_is_smooth(drive: list[BagFrame]) -> None:
    steps = np.array([np.abs(a.rgb.astype(np.int16) - b.rgb).mean() for a, b in pairwise(drive)])
    assert steps.max() < 3 * np.median(steps)


def test_reads_a_single_file() -> None:
    assert image_topics(DRIVE / "sample_drive.mcap") == image_topics(DRIVE)


def test_parity_photographs_are_four_colour_images() -> None:
    pictures = sorted((RESOURCE / "parity").glob("*.png"))
    assert [path.stem for path in pictures] == ["gravel", "room", "stream", "sunset"]
    for path in pictures:
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert picture.dtype == np.uint8
        assert picture.shape == (256, 256, 3)


def test_png_bytes_are_exact(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    bag = write_bag(tmp_path / "bag", [jpeg_of(np.ascontiguousarray(rgb[..., ::-1]), ".png")])
    (frame,) = read_images(bag, CAMERA)
    assert np.array_equal(frame.rgb, rgb)
    assert (frame.stamp_ns, frame.time_ns) == (7, 10)


def test_refuses_a_missing_bag(tmp_path: Path) -> None:
    with pytest.raises(BagMissingError, match="nowhere"):
        image_topics(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3", "bag.txt"])
def test_refuses_bytes_that_are_no_bag(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"this is not a bag " * 100)
    with pytest.raises(BagUnreadableError, match=name):
        image_topics(path)


def test_refuses_a_folder_without_metadata(tmp_path: Path) -> None:
    with pytest.raises(BagUnreadableError, match="metadata"):
        image_topics(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_refuses_a_bag_cut_off(tmp_path: Path, share: float) -> None:
    bag = shutil.copytree(DRIVE, tmp_path / "cut")
    file = bag / "sample_drive.mcap"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(BagUnreadableError, match="ros2 bag reindex"):
        list(read_images(bag, CAMERA))


def test_an_overwritten_bag_gives_frames_or_a_reason(tmp_path: Path) -> None:
    whole = (DRIVE / "sample_drive.mcap").read_bytes()
    random = np.random.default_rng(0)
    for trial in range(20):
        broken = bytearray(whole)
        start = int(random.integers(len(whole)))
        broken[start : start + 64] = random.bytes(len(broken[start : start + 64]))
        file = tmp_path / f"{trial}.mcap"
        file.write_bytes(broken)
        try:
            for frame in read_images(file, CAMERA):
                assert frame.rgb.shape == (240, 320, 3)
        except (BagUnreadableError, FrameUndecodableError, TopicMissingError, TopicTypeError):
            pass


def test_refuses_a_missing_topic_and_lists_those_there(tmp_path: Path) -> None:
    with pytest.raises(TopicMissingError, match=r"/nothing.*/chatter \(std_msgs/msg/String, 1 messages\)"):
        next(read_images(write_bag(tmp_path / "bag", []), "/nothing"))


def test_refuses_a_topic_of_another_type(tmp_path: Path) -> None:
    with pytest.raises(TopicTypeError, match="std_msgs/msg/String"):
        next(read_images(write_bag(tmp_path / "bag", []), "/chatter"))


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\xff\xd8\xff\xd9", b"not an image at all", b"\x89PNG\r\n\x1a\n"])
def test_refuses_bytes_that_are_no_image(tmp_path: Path, payload: bytes) -> None:
    with pytest.raises(FrameUndecodableError, match=r"found \d+ bytes"):
        next(read_images(write_bag(tmp_path / "bag", [payload]), CAMERA))


def test_refuses_a_jpeg_that_breaks_off(tmp_path: Path, goal: BagFrame) -> None:
    whole = jpeg_of(goal.rgb)
    frames = read_images(write_bag(tmp_path / "bag", [whole, whole + b"\0\0", whole[: len(whole) // 2]]), CAMERA)
    assert next(frames).rgb.shape == next(frames).rgb.shape == goal.rgb.shape
    with pytest.raises(FrameUndecodableError, match="cut off"):
        next(frames)


def test_the_callers_own_error_is_left_alone() -> None:
    frames = read_images(DRIVE, CAMERA)
    next(frames)
    with pytest.raises(KeyError):
        frames.throw(KeyError("mine"))  # type: ignore[attr-defined]
