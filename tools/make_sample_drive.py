"""Make the sample drive: a short camera recording, and its goal image, rendered from one photograph.

The photograph (`resource/PHOTOGRAPHS.md` says whose) shows a trail that leads up to a ridge, with mountains behind.
It is treated as a meadow that comes nearer towards the bottom edge and a backdrop far behind it, and a camera is driven
through that relief, so that near ground flows by while the mountains hardly grow, as in a real recording. The same
photograph and the same library versions give the same bytes.

    python tools/make_sample_drive.py --replace
"""

import argparse
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

RESOURCE = Path(__file__).resolve().parent.parent / "resource"
CAMERA_TOPIC = "/camera/image_raw/compressed"
GOAL_TOPIC = "/goal_image/compressed"
FRAME_ID = "camera"
WIDTH, HEIGHT = 320, 240
START_NS = 1_750_000_000_000_000_000  # an arbitrary fixed date: the clock must not change the bag
GOAL_DELAY_NS = 50_000_000
TRANSPORT_NS = 8_000_000  # from the header's stamp to the recorder, as a USB camera would take

# Where things are in the photograph, in units of its height (x runs to 4/3).
RIDGE = np.array(
    [[0.0, 0.440], [0.34, 0.490], [0.52, 0.548], [0.60, 0.580], [0.78, 0.635], [0.96, 0.652], [1.34, 0.672]]
)
TRAIL_TOP = (0.600, 0.575)  # the point the camera drives to
STONE = (0.666, 0.664, 0.045, 0.684)  # the upright stone: centre x and y, radius, y of its foot
FAR = 0.08  # inverse depth of the mountains; the meadow at the bottom edge is 1
SUPERSAMPLE = 3  # the photograph is finer than a frame: render larger, then average

FloatMap = NDArray[np.float32]
RgbImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Pose:
    """A camera pose relative to where the photograph was taken; the meadow at the bottom edge is at depth 1."""

    forward: float
    right: float
    view_x: float  # centre of the view, in the photograph's units
    view_y: float
    roll: float  # radians


def travelled(u: float) -> float:
    """Share of the way covered at the share `u` of the time: speed up for 15 %, cruise, slow down for 20 %."""
    up, down = 0.15, 0.20
    cruise = 1.0 / (1.0 - (up + down) / 2)
    if u < up:
        return cruise * u * u / (2 * up)
    if u > 1 - down:
        return 1 - cruise * (1 - u) ** 2 / (2 * down)
    return cruise * (u - up / 2)


def pose_at(u: float, *, seconds: float) -> Pose:
    """Pose at the share `u` (0 to 1) of the drive; beyond 1 the camera stands at the goal, without sway."""
    if u > 1:
        return Pose(forward=1.78, right=-0.16, view_x=0.612, view_y=0.520, roll=0.0)
    s, t = travelled(u), u * seconds
    sway = 1 - 0.7 * s  # the robot settles as it slows down
    return Pose(
        forward=1.70 * s,
        right=-0.02 - 0.14 * s * (2 - s) + 0.012 * sway * math.sin(2 * math.pi * t / 4.7),
        view_x=0.665 - 0.053 * s + 0.006 * sway * math.sin(2 * math.pi * t / 3.9),
        view_y=0.505 + 0.015 * s + 0.0025 * sway * math.sin(2 * math.pi * t / 1.3),
        roll=math.radians(0.5) * sway * math.sin(2 * math.pi * t / 3.1),
    )


def inverse_depth(x: FloatMap, y: FloatMap) -> FloatMap:
    """Relief of the photograph: FAR above the ridge, growing linearly to 1 at the bottom edge, as a plane's does."""
    stone_x, stone_y, radius, foot = STONE
    # Upright things are all as near as their foot; lying in the meadow, the stone would be stretched.
    upright = np.exp(-((((x - stone_x) ** 2 + (y - stone_y) ** 2) / radius**2) ** 2))
    y = y + upright * (foot - y)
    ridge = np.interp(x, RIDGE[:, 0], RIDGE[:, 1]).astype(np.float32)
    nearness: FloatMap = FAR + (1 - FAR) * np.maximum(y - ridge, 0) / (1 - ridge)
    return nearness


def render(photograph: RgbImage, pose: Pose, *, field: float = 0.86) -> RgbImage:
    """The view from `pose`: uint8 [HEIGHT, WIDTH, 3], channels in the photograph's order.

    Args:
        photograph: uint8 [H, W, 3], 4:3.
        pose: Where the camera is.
        field: Width of the view as a share of the photograph's width; the rest is room to look around.

    Raises:
        ValueError: The view reaches past the photograph's edges.
    """
    photo_h, photo_w = photograph.shape[:2]
    rows, cols = HEIGHT * SUPERSAMPLE, WIDTH * SUPERSAMPLE
    # Rays of the view, in the photograph's units, relative to the point driven to.
    pitch = field * photo_w / photo_h / cols
    v, u = np.meshgrid(np.arange(rows) - (rows - 1) / 2, np.arange(cols) - (cols - 1) / 2, indexing="ij")
    cos, sin = math.cos(pose.roll), math.sin(pose.roll)
    ray_x = (pose.view_x - TRAIL_TOP[0] + pitch * (cos * u - sin * v)).astype(np.float32)
    ray_y = (pose.view_y - TRAIL_TOP[1] + pitch * (sin * u + cos * v)).astype(np.float32)
    # A point at inverse depth w is seen at (p - right * w) / (1 - forward * w): find the p that lands on each ray. The
    # scale's fixed point is written so that it is exact in one step on the meadow and contracts on the mountains.
    scale = np.ones_like(ray_x)
    shift = np.zeros_like(ray_x)
    for _ in range(12):
        w = inverse_depth(TRAIL_TOP[0] + scale * ray_x + shift, TRAIL_TOP[1] + scale * ray_y)
        scale = scale / (scale + pose.forward * w)
        shift = pose.right * w
    map_x = (TRAIL_TOP[0] + scale * ray_x + shift) * photo_h - 0.5
    map_y = (TRAIL_TOP[1] + scale * ray_y) * photo_h - 0.5
    if map_x.min() < 0 or map_y.min() < 0 or map_x.max() > photo_w - 1 or map_y.max() > photo_h - 1:
        raise ValueError(f"{pose} looks past the edge of the photograph; make the field or the motion smaller.")
    large = cv2.remap(photograph, map_x, map_y, cv2.INTER_CUBIC)
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8)


def frames(photograph: RgbImage, *, seconds: float, rate: float) -> Iterator[tuple[int, RgbImage]]:
    """Yield (nanoseconds since the start, image) for every camera frame."""
    count = round(seconds * rate)
    for index in range(count):
        yield round(index * 1e9 / rate), render(photograph, pose_at(index / (count - 1), seconds=seconds))


def offered_qos(*, latched: bool) -> Qos:
    """A camera's default publisher, or a latched one for the goal."""
    forever = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )


def write_bag(photograph: RgbImage, out: Path, *, seconds: float, rate: float, quality: int) -> None:
    """Write the drive and its goal as an mcap bag folder `out`, which must not exist."""
    types = get_typestore(Stores.ROS2_KILTED)
    compressed_image = types.types["sensor_msgs/msg/CompressedImage"]
    header, time = types.types["std_msgs/msg/Header"], types.types["builtin_interfaces/msg/Time"]
    recorded = [(ns, False, image) for ns, image in frames(photograph, seconds=seconds, rate=rate)]
    recorded.append((GOAL_DELAY_NS, True, render(photograph, pose_at(2.0, seconds=seconds))))
    with Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        camera, goal = (
            bag.add_connection(
                topic,
                compressed_image.__msgtype__,
                typestore=types,
                offered_qos_profiles=[offered_qos(latched=latched)],
            )
            for topic, latched in ((CAMERA_TOPIC, False), (GOAL_TOPIC, True))
        )
        for ns, is_goal, image in sorted(recorded, key=lambda message: message[0]):
            stamp = time(sec=(START_NS + ns) // 10**9, nanosec=(START_NS + ns) % 10**9)
            _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
            message = compressed_image(header=header(stamp=stamp, frame_id=FRAME_ID), format="jpeg", data=jpeg.ravel())
            data = types.serialize_cdr(message, compressed_image.__msgtype__)
            bag.write(goal if is_goal else camera, START_NS + ns + TRANSPORT_NS, data)


def main() -> None:
    """Parse the command line and write the bag."""
    parser = argparse.ArgumentParser(description="Render the sample drive from a photograph and write it as a bag.")
    parser.add_argument("--photograph", type=Path, default=RESOURCE / "photographs" / "picos_de_europa.jpg")
    parser.add_argument("--out", type=Path, default=RESOURCE / "sample_drive", help="bag folder to write")
    parser.add_argument("--seconds", type=float, default=13.0, help="length of the drive")
    parser.add_argument("--rate", type=float, default=10.0, help="camera frames per second")
    parser.add_argument("--quality", type=int, default=84, help="JPEG quality of the frames, 1 to 100")
    parser.add_argument("--replace", action="store_true", help="if OUT is a bag already, remove it first")
    args = parser.parse_args()
    photograph = cv2.imread(str(args.photograph), cv2.IMREAD_COLOR)
    if photograph is None:
        parser.error(f"{args.photograph} is not there or is not an image; give a 4:3 photograph with --photograph.")
    if args.out.exists():
        if not args.replace:
            parser.error(f"{args.out} is already there; give --replace to make it again, or another --out.")
        if not (args.out / "metadata.yaml").is_file():
            parser.error(f"{args.out} is not a bag folder, so --replace leaves it alone; give another --out.")
        shutil.rmtree(args.out)
    write_bag(photograph.astype(np.uint8), args.out, seconds=args.seconds, rate=args.rate, quality=args.quality)
    size = sum(file.stat().st_size for file in args.out.iterdir())
    print(f"{args.out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
