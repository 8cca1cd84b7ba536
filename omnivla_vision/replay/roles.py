"""What a topic of images is for, told by its last name and by its first image."""

from __future__ import annotations

from omnivla_vision.images.raw import DepthImageError
from omnivla_vision.replay.bag import IMAGE, Bag, Topic
from omnivla_vision.replay.decoding import FrameUndecodableError, decode, is_video
from omnivla_vision.replay.video import VideoSupportMissingError
from omnivla_vision.tokens.pictures import DEBUG_TOPICS

GOAL_NAMES = ("goal", "goal_image")
# What image_transport's publishers append to the name of the image.
_TRANSPORTS = ("compressed", "compressedDepth", "ffmpeg", "zstd")


def image_name(topic: Topic) -> str:
    """The topic's name without its transport: that of the image."""
    base, _, last = topic.name.rpartition("/")
    return base if topic.msgtype != IMAGE and last in _TRANSPORTS else topic.name


def is_goal(topic: Topic) -> bool:
    """Whether the image is called `goal` or `goal_image`, in whatever namespace."""
    return image_name(topic).rpartition("/")[2].lower() in GOAL_NAMES


def is_own_picture(topic: Topic) -> bool:
    """Whether a vision node drew it: `~/debug/pca` or `~/debug/goal_similarity` of a node of any name."""
    return any(image_name(topic).endswith(f"/{name}") for name in DEBUG_TOPICS)


def holds_depth(bag: Bag, topic: Topic) -> bool:
    """Whether the topic's first message is refused as distances."""
    record = next(iter(bag.records([topic.name])), None)
    if record is None:
        return False
    try:
        decode(record)
    except (FrameUndecodableError, VideoSupportMissingError) as error:
        return isinstance(error.__cause__, DepthImageError)
    return False


def holds_video(bag: Bag, topic: Topic) -> bool:
    """Whether the topic's first message is a packet of a video stream."""
    record = next(iter(bag.records([topic.name])), None)
    return record is not None and is_video(record)
